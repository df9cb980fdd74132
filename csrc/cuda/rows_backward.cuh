// Backward, row by row: a pass over queries for dq and delta, then a pass over keys for dk and dv.
#pragma once

#include "rows.cuh"

namespace clear_cuda {

template <typename A>
__global__ void __launch_bounds__(kRowThreads, 1) rows_backward_queries(const __grid_constant__ RowsArguments args) {
  const Row<A> row(args);
  if (!row.exists) return;
  if (!row.real) {
    row.write(CLEAR_DQ, LaneRow<A>());
    return;
  }
  const Dropout<A> dropout = {row.p, row.batch, row.head};
  const A scale = static_cast<A>(row.p.scale), lse = row.lse(row.position);
  const LaneRow<A> q = row.read(CLEAR_Q, row.position), dout = row.read(CLEAR_DOUT, row.position);
  const A delta = dout.dot(row.read(CLEAR_OUT, row.position));
  if (row.lane == 0 && !(row.is_class && row.warp != 0)) static_cast<A *>(args.delta)[row.index(row.position)] = delta;
  LaneRow<A> dq;
  row.visit_partners(args.list, false, [&](int64_t key) {
    const LaneRow<A> k = row.read(CLEAR_K, key), v = row.read(CLEAR_V, key);
    const A weight = exponential(product(q.dot(k), scale) - lse);
    dq.add(weight * (dropout.of(row.position, key) * dout.dot(v) - delta) * scale, k);
  });
  if (gather_warps(dq, row)) row.write(CLEAR_DQ, dq);
}

template <typename A>
__global__ void __launch_bounds__(kRowThreads, 1) rows_backward_keys(const __grid_constant__ RowsArguments args) {
  const Row<A> row(args);
  if (!row.exists) return;
  if (!row.real) {
    row.write(CLEAR_DK, LaneRow<A>());
    row.write(CLEAR_DV, LaneRow<A>());
    return;
  }
  const Dropout<A> dropout = {row.p, row.batch, row.head};
  const A scale = static_cast<A>(row.p.scale);
  const LaneRow<A> k = row.read(CLEAR_K, row.position), v = row.read(CLEAR_V, row.position);
  LaneRow<A> dk, dv;
  row.visit_partners(args.list, true, [&](int64_t query) {
    const LaneRow<A> q = row.read(CLEAR_Q, query), dout = row.read(CLEAR_DOUT, query);
    const A delta = static_cast<const A *>(args.delta)[row.index(query)];
    const A weight = exponential(product(q.dot(k), scale) - row.lse(query));
    const A kept = dropout.of(query, row.position);
    dv.add(weight * kept, dout);
    dk.add(weight * (kept * dout.dot(v) - delta) * scale, q);
  });
  const bool last = gather_warps(dk, row);
  gather_warps(dv, row);
  if (!last) return;
  row.write(CLEAR_DK, dk);
  row.write(CLEAR_DV, dv);
}

} // namespace clear_cuda
