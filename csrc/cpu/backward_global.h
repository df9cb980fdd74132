// Backward of the global tokens: complete gradients of their queries, and what their keys and values receive from them.
#pragma once

#include "backward.h"

namespace clear_kernels {
namespace CK_ISA {

constexpr int kBackwardQueries = 16, kBackwardKeys = 64;

template <class T, int VECTORS> struct BackwardGlobal {
  using C = Compute<T>;
  using W = Width<C, VECTORS>;

  Backward<T, VECTORS> &b;
  typename Backward<T, VECTORS>::Head &head;
  const int64_t *positions;
  int64_t count;
  RowBlock<C> keys, values;         // [capacity]
  RowBlock<C> queries, douts, outs; // [kBackwardQueries]
  TargetBlock<C> to_dq;             // [kBackwardQueries]
  C *probability, *dscore;          // [kBackwardKeys, kBackwardQueries]
  C *own_p, *own_ds, *delta, *lse;  // [kBackwardQueries]
  const C **own_k, **own_v;         // [kBackwardQueries]
  C **to_dk, **to_dv;               // [kBackwardKeys]

  BackwardGlobal(Backward<T, VECTORS> &backward, Arena &arena) : b(backward), head(backward.heads[0]) {
    const BackwardProblem &p = b.p;
    const bool direct = rows_are_direct<T>(p);
    for (RowBlock<C> *block : {&keys, &values}) *block = RowBlock<C>(arena, p.global.capacity, b.width, direct);
    for (RowBlock<C> *block : {&queries, &douts, &outs}) *block = RowBlock<C>(arena, kBackwardQueries, b.width, direct);
    to_dq = TargetBlock<C>(arena, kBackwardQueries, b.width, direct);
    for (C **scores : {&probability, &dscore}) *scores = arena.take<C>(kBackwardQueries * kBackwardKeys);
    for (C **values_of : {&own_p, &own_ds, &delta, &lse}) *values_of = take_lanes<C>(arena, kBackwardQueries);
    for (const C ***rows : {&own_k, &own_v}) *rows = arena.take<const C *>(kBackwardQueries);
    for (C ***rows : {&to_dk, &to_dv}) *rows = arena.take<C *>(kBackwardKeys);
  }

  void run() {
    const GlobalList &list = b.p.global;
    const int64_t sample = list.batch_stride == 0 ? 0 : b.range.batch;
    positions = list.positions + sample * list.capacity;
    count = list.counts[sample];
    for (int64_t i = 0; i < count; ++i) {
      b.rank[positions[i]] = i;
      keys.read(head.k, positions[i], i);
      values.read(head.v, positions[i], i);
    }
    const size_t bytes = static_cast<size_t>(count * b.width) * sizeof(C);
    std::memset(b.global_dk, 0, bytes);
    std::memset(b.global_dv, 0, bytes);
    for (int64_t i = 0; i < count; i += kBackwardQueries) {
      attend(positions + i, static_cast<int>(count - i < kBackwardQueries ? count - i : kBackwardQueries));
    }
  }

private:
  void attend(const int64_t *at, int m) {
    own_class_keys(at, m);
    for (int64_t j = 0; j < count; j += kBackwardKeys) {
      fold(at, m, j, static_cast<int>(count - j < kBackwardKeys ? count - j : kBackwardKeys));
    }
    for (int r = 0; r < m; ++r) head.dq.commit(at[r], to_dq.rows[r]);
  }

  // dq starts with the share of the row's own class key, which receives its gradients here.
  void own_class_keys(const int64_t *at, int m) {
    for (int r = 0; r < m; ++r) {
      const int lead = lead_of(b.p, b.range.batch, at[r]);
      queries.read(head.q, at[r], r);
      douts.read(head.dout, at[r], r);
      outs.read(head.out, at[r], r);
      lse[r] = head.lse[at[r]];
      own_k[r] = head.class_k.rows[lead];
      own_v[r] = head.class_v.rows[lead];
      to_dq.aim(head.dq, at[r], r);
    }
    pair_dots<C>(douts.rows, outs.rows, m, b.width, delta, b.ahead);
    pair_dots<C>(queries.rows, own_k, m, b.width, own_p, b.ahead);
    pair_dots<C>(douts.rows, own_v, m, b.width, own_ds, b.ahead);
    for (int r = 0; r < m; ++r) {
      const int lead = lead_of(b.p, b.range.batch, at[r]);
      const C p_own = exp_one(own_p[r] * b.scale - lse[r]);
      const C factor = head.philox.template factor<C>(at[r], lead, b.gain);
      const C ds = p_own * (own_ds[r] * factor - delta[r]) * b.scale;
      set_scaled<C>(to_dq.rows[r], ds, own_k[r], b.width);
      add_scaled<C>(head.class_dk + lead * b.width, ds, queries.rows[r], b.width);
      add_scaled<C>(head.class_dv + lead * b.width, p_own * factor, douts.rows[r], b.width);
    }
  }

  void fold(const int64_t *at, int m, int64_t first, int n) {
    constexpr int64_t stride = kBackwardQueries;
    dots<C>(keys.rows + first, n, queries.rows, m, b.width, probability, stride, b.ahead);
    dots<C>(values.rows + first, n, douts.rows, m, b.width, dscore, stride, b.ahead);
    if (head.philox.active()) {
      dropped_logit_gradients<C>(probability, dscore, stride, n, m, b.scale, lse, delta, head.philox, positions + first,
                                 at, b.gain);
    } else {
      logit_gradients<C>(probability, dscore, stride, n, m, b.scale, lse, delta, b.ahead);
    }
    for (int j = 0; j < n; ++j) {
      to_dk[j] = b.global_dk + (first + j) * b.width;
      to_dv[j] = b.global_dv + (first + j) * b.width;
    }
    weighted_sum<C, W>({dscore, 1, stride, keys.rows + first, n, to_dq.rows, nullptr, nullptr, to_dq.rows, m, b.width},
                       b.ahead);
    weighted_sum<C, W>({dscore, stride, 1, queries.rows, m, to_dk, nullptr, nullptr, to_dk, n, b.width}, b.ahead);
    weighted_sum<C, W>({probability, stride, 1, douts.rows, m, to_dv, nullptr, nullptr, to_dv, n, b.width}, b.ahead);
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
