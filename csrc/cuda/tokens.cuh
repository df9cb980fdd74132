// Where tokens lie and what they are. Class token i is at position i; beat b at L + b, where b = i * T + j in the grid
// form and the place in the list in the packed form.
#pragma once

#include "api.h"
#include "numeric.cuh"

namespace clear_cuda {

constexpr int kMaxLeads = 64;
constexpr int kMaxDim = 256;

__host__ __device__ inline bool is_packed(const ClearProblem &p) { return p.form == CLEAR_PACKED; }
__host__ __device__ inline int64_t beat_count(const ClearProblem &p) {
  return is_packed(p) ? p.beats : p.beats * p.leads;
}
__host__ __device__ inline int64_t token_count(const ClearProblem &p) { return p.leads + beat_count(p); }

template <typename T>
__device__ __forceinline__ T *token_row(const ClearRows &rows, int64_t batch, int64_t head, int64_t position) {
  return static_cast<T *>(rows.data) + batch * rows.batch + head * rows.head + position * rows.row;
}

// Index of a row in a contiguous [B, H, N] array.
__device__ __forceinline__ int64_t row_index(const ClearProblem &p, int64_t batch, int64_t head, int64_t position) {
  return (batch * p.heads + head) * token_count(p) + position;
}

__device__ __forceinline__ bool mask_at(const ClearMask &mask, int64_t batch, int64_t index) {
  return mask.data == nullptr || mask.data[batch * mask.batch + index] != 0;
}

__device__ __forceinline__ bool beat_valid(const ClearProblem &p, int64_t batch, int64_t beat) {
  return mask_at(p.valid, batch, beat);
}

// Whether a valid beat is global.
__device__ __forceinline__ bool beat_visible(const ClearProblem &p, int64_t batch, int64_t beat) {
  return p.form != CLEAR_LOCAL && (p.form != CLEAR_MIXED || mask_at(p.visible, batch, beat));
}

// A lead id outside 0 .. L - 1 (nobody can check it on the host without waiting) becomes kNoLead: no class token's
// lead.
constexpr int kNoLead = 255;
__device__ __forceinline__ int beat_lead(const ClearProblem &p, int64_t batch, int64_t beat) {
  if (!is_packed(p)) return static_cast<int>(beat / p.beats);
  const int lead = p.lead[batch * p.lead_batch + beat];
  return lead >= 0 && lead < p.leads ? lead : kNoLead;
}

// One (batch, head) and a piece of it, from a block index that walks the heads first: neighbouring heads of a token
// are neighbours in memory.
struct BlockPlace {
  int64_t batch, head, piece;
  __device__ BlockPlace(const ClearProblem &p, unsigned block, int64_t pieces) {
    const unsigned heads = static_cast<unsigned>(p.heads), row = block / heads;
    head = block % heads;
    piece = row % static_cast<unsigned>(pieces);
    batch = row / static_cast<unsigned>(pieces);
  }
};

} // namespace clear_cuda
