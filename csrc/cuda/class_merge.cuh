// Class rows of a long recording, put together from the chunks of columns in their order. A block per class token.
#pragma once

#include "columns.cuh"

namespace clear_cuda {

template <typename T>
__global__ void __launch_bounds__(kMaxDim) merge_class_rows(const __grid_constant__ ColumnsArguments args) {
  const ClearProblem &p = args.problem;
  const int lead = static_cast<int>(blockIdx.x % p.leads), d = static_cast<int>(threadIdx.x);
  const int64_t batch_head = blockIdx.x / p.leads, chunks = args.plan.chunks;
  const int64_t batch = batch_head / p.heads, head = batch_head % p.heads;
  // The first chunk holds the token itself, so its maximum is finite.
  float max = -infinity<float>();
  const int64_t first = batch_head * chunks * p.leads + lead;
  for (int64_t c = 0; c < chunks; ++c) max = larger(max, args.partials.max[first + c * p.leads]);
  float sum = 0.0f, out = 0.0f;
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t part = first + c * p.leads;
    const float factor = exponential(args.partials.max[part] - max);
    sum += factor * args.partials.sum[part];
    if (d < p.dim) out += factor * args.partials.rows[part * p.dim + d];
  }
  if (d < p.dim) token_row<T>(p.rows[CLEAR_OUT], batch, head, lead)[d] = narrow<T>(out / sum);
  if (d == 0) {
    static_cast<float *>(p.lse)[row_index(p, batch, head, lead)] = max + logarithm(sum);
  }
}

template <typename T>
__global__ void __launch_bounds__(kMaxDim) merge_class_gradients(const __grid_constant__ ColumnsArguments args) {
  const ClearProblem &p = args.problem;
  const int lead = static_cast<int>(blockIdx.x % p.leads), d = static_cast<int>(threadIdx.x);
  const int64_t batch_head = blockIdx.x / p.leads;
  if (d >= p.dim) return;
  const int64_t size = int64_t(p.leads) * p.dim;
#pragma unroll 1
  for (int which = 0; which < 3; ++which) {
    float sum = 0.0f;
    for (int64_t c = 0; c < args.plan.chunks; ++c) {
      sum += args.partials.rows[((batch_head * args.plan.chunks + c) * 3 + which) * size + lead * p.dim + d];
    }
    token_row<T>(p.rows[CLEAR_DQ + which], batch_head / p.heads, batch_head % p.heads, lead)[d] = narrow<T>(sum);
  }
}

} // namespace clear_cuda
