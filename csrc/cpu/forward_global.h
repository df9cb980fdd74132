// Forward of the global tokens: dense attention among the visible beats of a sample, each beat with its own class key.
#pragma once

#include "forward.h"

namespace clear_kernels {
namespace CK_ISA {

constexpr int kQueryTile = 16, kKeyTile = 64;

template <class T, int VECTORS> struct ForwardGlobal {
  using C = Compute<T>;
  using W = Width<C, VECTORS>;

  Forward<T, VECTORS> &f;
  typename Forward<T, VECTORS>::Head &head;
  const int64_t *positions;
  int64_t count;
  RowBlock<C> keys, values; // [capacity]
  RowBlock<C> queries;      // [kQueryTile]
  TargetBlock<C> target;    // [kQueryTile]
  C *scores;                // [kKeyTile, kQueryTile]
  const C **class_k;        // [kQueryTile]
  Running<C> running;       // [kQueryTile]

  ForwardGlobal(Forward<T, VECTORS> &forward, Arena &arena) : f(forward), head(forward.heads[0]) {
    const ForwardProblem &p = f.p;
    const bool direct = rows_are_direct<T>(p);
    for (RowBlock<C> *block : {&keys, &values}) *block = RowBlock<C>(arena, p.global.capacity, f.width, direct);
    queries = RowBlock<C>(arena, kQueryTile, f.width, direct);
    target = TargetBlock<C>(arena, kQueryTile, f.width, direct);
    scores = arena.take<C>(kKeyTile * kQueryTile);
    class_k = arena.take<const C *>(kQueryTile);
    running = Running<C>(arena, kQueryTile);
  }

  void run() {
    const GlobalList &list = f.p.global;
    const int64_t sample = list.batch_stride == 0 ? 0 : f.range.batch;
    positions = list.positions + sample * list.capacity;
    count = list.counts[sample];
    for (int64_t i = 0; i < count; ++i) {
      keys.read(head.k, positions[i], i);
      values.read(head.v, positions[i], i);
    }
    for (int64_t i = 0; i < count; i += kQueryTile) {
      attend(positions + i, static_cast<int>(count - i < kQueryTile ? count - i : kQueryTile));
    }
  }

private:
  void attend(const int64_t *at, int m) {
    start(at, m);
    for (int64_t j = 0; j < count; j += kKeyTile) {
      fold(at, m, j, static_cast<int>(count - j < kKeyTile ? count - j : kKeyTile));
    }
    C *lse = running.factor;
    running.log_sum_exp(m, lse);
    for (int r = 0; r < m; ++r) {
      set_scaled<C>(target.rows[r], C(1) / running.sum[r], target.rows[r], f.width);
      head.out.commit(at[r], target.rows[r]);
      head.lse[at[r]] = lse[r];
    }
  }

  // The softmax of each row starts from its own class key.
  void start(const int64_t *at, int m) {
    for (int r = 0; r < m; ++r) {
      const int lead = lead_of(f.p, f.range.batch, at[r]);
      queries.read(head.q, at[r], r);
      target.aim(head.out, at[r], r);
      class_k[r] = head.class_k.rows[lead];
      set_scaled<C>(target.rows[r], head.philox.template factor<C>(at[r], lead, f.gain), head.class_v.rows[lead],
                    f.width);
    }
    running.reset(m);
    pair_dots<C>(queries.rows, class_k, m, f.width, scores, f.ahead);
    running.fold(scores, kQueryTile, 1, m, f.scale);
  }

  void fold(const int64_t *at, int m, int64_t first, int n) {
    dots<C>(keys.rows + first, n, queries.rows, m, f.width, scores, kQueryTile, f.ahead);
    running.fold(scores, kQueryTile, n, m, f.scale);
    if (head.philox.active()) {
      for (int j = 0; j < n; ++j) {
        head.philox.template apply<C>(at, m, positions[first + j], f.gain, scores + j * kQueryTile);
      }
    }
    weighted_sum<C, W>(
        {scores, 1, kQueryTile, values.rows + first, n, nullptr, running.factor, target.rows, target.rows, m, f.width},
        f.ahead);
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
