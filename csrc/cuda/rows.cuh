// The row-by-row kernels: a warp (for class tokens a block) per row, any dtype, any D, up to 64 leads. They serve
// float64 and the shapes whose tiles do not fit into shared memory, and are written for brevity.
#pragma once

#include "philox.cuh"
#include "ptx.cuh"
#include "slots.cuh"

namespace clear_cuda {

constexpr int kRowWarps = 8;
constexpr int kRowThreads = 32 * kRowWarps;
constexpr int kLaneElements = kMaxDim / 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

struct RowsArguments {
  ClearProblem problem;
  SlotList list;
  int64_t class_blocks; // the first B * H * L blocks serve a class token each, the others kRowWarps beats
  void *delta;          // [B, H, N]: rowsum(dout * out), backward only
};

template <typename A> __device__ __forceinline__ A warp_sum(A x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// Element access by dtype code; float64 has kernels of its own.
__device__ __forceinline__ double read_element(const void *row, int i, int, double) {
  return static_cast<const double *>(row)[i];
}
__device__ __forceinline__ float read_element(const void *row, int i, int dtype, float) {
  if (dtype == CLEAR_FLOAT32) return static_cast<const float *>(row)[i];
  if (dtype == CLEAR_FLOAT16) return widen(static_cast<const __half *>(row)[i]);
  return widen(static_cast<const __nv_bfloat16 *>(row)[i]);
}
__device__ __forceinline__ void write_element(void *row, int i, int, double x) { static_cast<double *>(row)[i] = x; }
__device__ __forceinline__ void write_element(void *row, int i, int dtype, float x) {
  if (dtype == CLEAR_FLOAT32) {
    static_cast<float *>(row)[i] = x;
  } else if (dtype == CLEAR_FLOAT16) {
    static_cast<__half *>(row)[i] = narrow<__half>(x);
  } else {
    static_cast<__nv_bfloat16 *>(row)[i] = narrow<__nv_bfloat16>(x);
  }
}

// A row of D elements spread over a warp: lane l holds elements l, l + 32, ...
template <typename A> struct LaneRow {
  A x[kLaneElements];

  __device__ LaneRow() {
#pragma unroll
    for (int i = 0; i < kLaneElements; ++i) x[i] = A(0);
  }
  __device__ LaneRow(const void *row, int dtype, int dim, int lane) {
#pragma unroll
    for (int i = 0; i < kLaneElements; ++i) {
      const int d = lane + 32 * i;
      x[i] = d < dim ? read_element(row, d, dtype, A(0)) : A(0);
    }
  }
  __device__ void store(void *row, int dtype, int dim, int lane) const {
#pragma unroll
    for (int i = 0; i < kLaneElements; ++i) {
      const int d = lane + 32 * i;
      if (d < dim) write_element(row, d, dtype, x[i]);
    }
  }
  __device__ A dot(const LaneRow &other) const {
    A sum = A(0);
#pragma unroll
    for (int i = 0; i < kLaneElements; ++i) sum = fma(x[i], other.x[i], sum);
    return warp_sum(sum);
  }
  __device__ void add(A factor, const LaneRow &other) {
#pragma unroll
    for (int i = 0; i < kLaneElements; ++i) x[i] = fma(factor, other.x[i], x[i]);
  }
  __device__ void scale(A factor) {
#pragma unroll
    for (int i = 0; i < kLaneElements; ++i) x[i] *= factor;
  }
};

// One row of the attention: a class token, or a beat with what the masks say of it; and the tokens it has to do with.
template <typename A> struct Row {
  const ClearProblem &p;
  int64_t batch, head, position, beat;
  bool exists, is_class, real, global;
  int lane, warp;

  // Beat rows are numbered through the batch, one per warp; a class row belongs to a whole block.
  __device__ explicit Row(const RowsArguments &args)
      : p(args.problem), lane(static_cast<int>(threadIdx.x % 32u)), warp(static_cast<int>(threadIdx.x / 32u)) {
    is_class = blockIdx.x < args.class_blocks;
    const int64_t per_head = is_class ? p.leads : beat_count(p);
    const int64_t index = is_class ? int64_t(blockIdx.x) : (blockIdx.x - args.class_blocks) * kRowWarps + warp;
    exists = index < p.batch * p.heads * per_head;
    if (!exists) return;
    beat = is_class ? -1 : index % per_head;
    position = is_class ? index % per_head : p.leads + beat;
    head = index / per_head % p.heads;
    batch = index / per_head / p.heads;
    real = is_class || beat_valid(p, batch, beat);
    global = !is_class && real && beat_visible(p, batch, beat);
  }

  // A row of one of the problem's tensors.
  __device__ void *of(int tensor, int64_t at) const {
    const ClearRows &rows = p.rows[tensor];
    const int size = p.dtype == CLEAR_FLOAT64 ? 8 : p.dtype == CLEAR_FLOAT32 ? 4 : 2;
    return static_cast<char *>(rows.data) + (batch * rows.batch + head * rows.head + at * rows.row) * size;
  }
  __device__ LaneRow<A> read(int tensor, int64_t at) const { return {of(tensor, at), p.dtype, p.dim, lane}; }
  __device__ void write(int tensor, const LaneRow<A> &x) const { x.store(of(tensor, position), p.dtype, p.dim, lane); }
  __device__ int64_t index(int64_t at) const { return row_index(p, batch, head, at); }
  __device__ A lse(int64_t at) const { return static_cast<const A *>(p.lse)[index(at)]; }

  // Calls visit(position) for every key of this row or, if `queries`, for every row that attends this one. The warps of
  // a class token share them. The tokens that a class token attends are the ones that attend it.
  template <typename Visit> __device__ void visit_partners(const SlotList &list, bool queries, Visit visit) const {
    const bool has_local_rows = p.form == CLEAR_LOCAL || p.form == CLEAR_MIXED;
    const int64_t column = !is_class && has_local_rows && (queries || !global) ? p.leads : 0;
    const int64_t others = is_class ? p.beats : column + (global ? list.count(batch) - p.leads : 0);
    const Slot *slots = list.of(batch);
    for (int64_t i = is_class ? warp : 0; i <= others; i += is_class ? kRowWarps : 1) {
      int64_t at;
      if (i == 0) {
        at = is_class ? position : beat_lead(p, batch, beat);
        if (at == kNoLead) continue;
      } else if (is_class) {
        const int64_t other = is_packed(p) ? i - 1 : position * p.beats + i - 1;
        if (!beat_valid(p, batch, other) || beat_lead(p, batch, other) != position) continue;
        at = p.leads + other;
      } else if (i <= column) {
        const int64_t other = (i - 1) * p.beats + beat % p.beats;
        if (!beat_valid(p, batch, other) || (queries && beat_visible(p, batch, other))) continue;
        at = p.leads + other;
      } else {
        at = slots[p.leads + i - column - 1].position;
      }
      visit(at);
    }
  }
};

// Sums what the warps of a class token hold, in a fixed order, into the first. True for the warp that holds the result.
template <typename A> __device__ bool gather_warps(LaneRow<A> &mine, const Row<A> &row) {
  if (!row.is_class) return true;
  __shared__ A buffer[kRowWarps][kMaxDim];
#pragma unroll
  for (int i = 0; i < kLaneElements; ++i) buffer[row.warp][row.lane + 32 * i] = mine.x[i];
  __syncthreads();
  if (row.warp == 0) {
    for (int w = 1; w < kRowWarps; ++w) {
#pragma unroll
      for (int i = 0; i < kLaneElements; ++i) mine.x[i] += buffer[w][row.lane + 32 * i];
    }
  }
  __syncthreads();
  return row.warp == 0;
}

} // namespace clear_cuda
