// Forward, row by row.
#pragma once

#include "rows.cuh"

namespace clear_cuda {

// Softmax over keys that come one at a time.
template <typename A> struct OnlineRow {
  A max = -infinity<A>(), sum = A(0);
  LaneRow<A> out;

  __device__ void raise(A new_max) {
    if (!(new_max > max)) return;
    const A factor = exponential(max - new_max);
    sum *= factor;
    out.scale(factor);
    max = new_max;
  }
  __device__ void add(A logit, A kept, const LaneRow<A> &value) {
    raise(logit);
    const A weight = exponential(logit - max);
    sum += weight;
    out.add(weight * kept, value);
  }
};

template <typename A>
__global__ void __launch_bounds__(kRowThreads) rows_forward(const __grid_constant__ RowsArguments args) {
  const Row<A> row(args);
  if (!row.exists) return;
  A *lse = static_cast<A *>(row.p.lse) + row.index(row.position);
  if (!row.real) {
    row.write(CLEAR_OUT, LaneRow<A>());
    if (row.lane == 0) *lse = infinity<A>();
    return;
  }

  const Dropout<A> dropout = {row.p, row.batch, row.head};
  const A scale = static_cast<A>(row.p.scale);
  const LaneRow<A> q = row.read(CLEAR_Q, row.position);
  OnlineRow<A> online;
  row.visit_partners(args.list, false, [&](int64_t key) {
    const LaneRow<A> k = row.read(CLEAR_K, key), v = row.read(CLEAR_V, key);
    online.add(product(q.dot(k), scale), dropout.of(row.position, key), v);
  });
  if (row.is_class) {
    // The first warp has seen the token itself, so the common maximum is finite.
    __shared__ A maxima[kRowWarps];
    if (row.lane == 0) maxima[row.warp] = online.max;
    __syncthreads();
    for (int w = 0; w < kRowWarps; ++w) online.raise(maxima[w]);
    LaneRow<A> sum;
    sum.x[0] = online.sum;
    gather_warps(sum, row);
    online.sum = sum.x[0];
  }
  if (!gather_warps(online.out, row)) return;
  online.out.scale(A(1) / online.sum);
  row.write(CLEAR_OUT, online.out);
  if (row.lane == 0) *lse = online.max + logarithm(online.sum);
}

}  // namespace clear_cuda
