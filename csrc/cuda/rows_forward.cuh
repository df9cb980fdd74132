// Forward, row by row: a pass for the largest logit, and one for the sums.
#pragma once

#include "rows.cuh"

namespace clear_cuda {

template <typename A>
__global__ void __launch_bounds__(kRowThreads, 1) rows_forward(const __grid_constant__ RowsArguments args) {
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
  A max = -infinity<A>();
  row.visit_partners(args.list, false,
                     [&](int64_t key) { max = larger(max, product(q.dot(row.read(CLEAR_K, key)), scale)); });
  if (row.is_class) {
    // The first warp has seen the token itself, so the common maximum is finite.
    __shared__ A maxima[kRowWarps];
    if (row.lane == 0) maxima[row.warp] = max;
    __syncthreads();
    for (int w = 0; w < kRowWarps; ++w) max = larger(max, maxima[w]);
  }
  LaneRow<A> out, sum;
  row.visit_partners(args.list, false, [&](int64_t key) {
    const A weight = exponential(product(q.dot(row.read(CLEAR_K, key)), scale) - max);
    sum.x[0] += weight;
    out.add(weight * dropout.of(row.position, key), row.read(CLEAR_V, key));
  });
  gather_warps(sum, row);
  if (!gather_warps(out, row)) return;
  out.scale(A(1) / sum.x[0]);
  row.write(CLEAR_OUT, out);
  if (row.lane == 0) *lse = max + logarithm(sum.x[0]);
}

} // namespace clear_cuda
