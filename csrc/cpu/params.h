// The problem as the kernels see it: raw pointers, sizes and strides. No torch type, no SIMD type.
#pragma once

#include <cstddef>
#include <cstdint>

namespace clear_kernels {

class Tasks;

enum class DType : int { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kFloat64 = 3 };
enum class Form : int { kGrid = 0, kPacked = 1 };

// Largest number of leads, and of packed tokens that are handled together.
constexpr int kMaxGroup = 64;
// Largest number of heads that one task works on.
constexpr int kMaxHeads = 16;

// Element strides of a [B, H, N, D] tensor whose last stride is 1.
struct Strides {
  int64_t batch, head, row;
};

struct Tensor {
  const void *data;
  Strides strides;
};

// A bool mask whose first dimension is shared by the batch when `batch_stride` is 0; null means "all true".
struct Mask {
  const uint8_t *data;
  int64_t batch_stride;
  bool at(int64_t batch, int64_t index) const { return data == nullptr || data[batch * batch_stride + index] != 0; }
};

// Positions of the global (visible and valid) tokens of each sample, in ascending order.
struct GlobalList {
  const int64_t *positions; // [1 or B, capacity]
  const int64_t *counts;    // [1 or B]
  int64_t batch_stride;     // capacity, or 0 when every sample has the same list
  int64_t capacity;         // 0: no sample has a global token
};

struct Problem {
  Form form;
  DType dtype;
  int64_t batch, heads, leads;
  int64_t beats; // grid: beats per lead; packed: number of packed beats
  int64_t dim;   // head dimension D
  int64_t rows;  // N, class tokens included

  Tensor q, k, v;
  bool all_visible;
  Mask visible, valid; // grid: [L, T] per sample; packed: valid is [n]
  const int32_t *lead; // packed only: [n] per sample
  int64_t lead_batch_stride;

  double dropout_p;
  uint32_t dropout_threshold; // a word below it drops the entry; 0 when there is no dropout
  uint64_t seed;
  double scale;

  GlobalList global;
  int64_t groups;           // beat columns (grid), or blocks of kMaxGroup packed tokens
  int64_t groups_per_chunk; // groups one task walks through
  int64_t chunks;           // tasks per (batch, block of heads)
  int64_t heads_per_task;   // neighbours in memory that one task works on in turn, 1 to kMaxHeads
  bool stream;              // results are written past the caches
  bool whole_heartbeats;    // rows are asked for a heartbeat at a time, not head by head (ahead.h)

  bool grid() const { return form == Form::kGrid; }
  int64_t head_blocks() const { return (heads + heads_per_task - 1) / heads_per_task; }
  int64_t tasks() const { return batch * head_blocks() * chunks; }
};

struct ForwardProblem : Problem {
  void *out;      // [B, N, H, D] contiguous
  void *lse;      // [B, H, N] float32, or float64
  void *partials; // class rows of each chunk: [B * H, chunks, L, 2 + width]; null when chunks == 1
};

struct BackwardProblem : Problem {
  const void *out; // [B, N, H, D] contiguous
  const void *lse; // [B, H, N]
  Tensor dout;
  void *dq, *dk, *dv; // [B, N, H, D] contiguous
  void *partials;     // dq, dk, dv of the class rows of each chunk: [B * H, chunks, 3, L, width]
};

// What one instruction-set variant of the kernels offers.
struct Variant {
  const char *name;
  int64_t (*width)(const Problem &);                 // D rounded up to whole vectors
  size_t (*forward_scratch)(const ForwardProblem &); // bytes per thread
  // `tasks` knows which task this thread will run next, whose first rows can be fetched early.
  void (*forward)(const ForwardProblem &, int64_t task, Tasks &tasks, void *scratch);
  void (*forward_merge)(const ForwardProblem &, int64_t batch_head, void *scratch);
  size_t (*backward_scratch)(const BackwardProblem &);
  void (*backward)(const BackwardProblem &, int64_t task, Tasks &tasks, void *scratch);
  void (*backward_merge)(const BackwardProblem &, int64_t batch_head, void *scratch);
};

} // namespace clear_kernels
