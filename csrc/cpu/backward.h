// Backward: probabilities are recomputed from the saved log-sum-exp. A group completes the gradients of its beats; the
// gradients of the class tokens are summed over the groups of a chunk. As in forward, a task takes several heads
// through each heartbeat.
#pragma once

#include "ahead.h"
#include "group.h"
#include "philox.h"
#include "rows.h"
#include "softmax.h"
#include "tile.h"

namespace clear_kernels {
namespace CK_ISA {

inline Tensor saved_out(const BackwardProblem &p) {
  return {p.out, {p.rows * p.heads * p.dim, p.dim, p.heads * p.dim}};
}

// One head of a sample: its tensors and the gradients of its class tokens.
template <class T, int VECTORS> struct BackwardHead {
  using C = Compute<T>;
  using W = Width<C, VECTORS>;

  int64_t index; // batch * heads + head
  RowReader<T> q, k, v, out, dout;
  RowWriter<T> dq, dk, dv;
  const C *lse;
  Philox philox;
  RowBlock<C> class_q, class_k, class_v, class_dout; // [L]
  C *class_delta;                                    // [L]
  C *class_dq, *class_dk, *class_dv;                 // [L, width]

  void take(const Problem &p, Arena &arena, W width) {
    const bool direct = rows_are_direct<T>(p);
    for (RowBlock<C> *block : {&class_q, &class_k, &class_v, &class_dout})
      *block = RowBlock<C>(arena, p.leads, width, direct);
    class_delta = take_lanes<C>(arena, p.leads);
    for (C **rows : {&class_dq, &class_dk, &class_dv}) *rows = arena.take<C>(p.leads * width);
  }

  void start(const BackwardProblem &p, int64_t batch, int64_t head) {
    index = batch * p.heads + head;
    q = RowReader<T>(p, p.q, batch, head);
    k = RowReader<T>(p, p.k, batch, head);
    v = RowReader<T>(p, p.v, batch, head);
    out = RowReader<T>(p, saved_out(p), batch, head);
    dout = RowReader<T>(p, p.dout, batch, head);
    dq = RowWriter<T>(p, p.dq, batch, head);
    dk = RowWriter<T>(p, p.dk, batch, head);
    dv = RowWriter<T>(p, p.dv, batch, head);
    lse = static_cast<const C *>(p.lse) + index * p.rows;
    philox = Philox(p.seed, static_cast<uint64_t>(index), p.dropout_threshold);
    for (int64_t i = 0; i < p.leads; ++i) {
      class_q.read(q, i, i);
      class_k.read(k, i, i);
      class_v.read(v, i, i);
      class_dout.read(dout, i, i);
    }
  }
};

template <class T, int VECTORS> struct Backward {
  using C = Compute<T>;
  using W = Width<C, VECTORS>;
  using Head = BackwardHead<T, VECTORS>;

  const BackwardProblem &p;
  W width;
  C scale, gain;
  Head heads[kMaxHeads];
  TaskRange range{};
  bool direct;            // rows are used where they lie
  Tasks *tasks = nullptr; // of this thread

  Group group;
  Ahead ahead;
  RowBlock<C> group_k, group_v, group_q, group_dout, group_out; // [G]
  C *probability, *dscore; // [G + 1, stride] the last key is each query's class token
  int64_t stride;          // G rounded up to whole vectors
  C *delta, *row_lse;      // [G] of each local query
  int64_t query_position[kMaxGroup];
  C *class_p, *class_ds;                         // [G] weights of a key's gradient from its class query
  const C **own_k, **own_v, **own_q, **own_dout; // [G]
  const C **base_dk, **base_dv;                  // [G] what the global queries gave, or null
  TargetBlock<C> to_dq, to_dk, to_dv;            // [G]
  C *row_buffer;                                 // [width]
  int64_t *rank;                                 // [N] index of each global token in the list
  C *global_dk, *global_dv;                      // [capacity, width]

  Backward(const BackwardProblem &problem, Arena &arena)
      : p(problem), width{padded_width<T>(problem)}, scale(static_cast<C>(problem.scale)),
        gain(static_cast<C>(1.0 / (1.0 - problem.dropout_p))) {
    direct = rows_are_direct<T>(p);
    const int64_t most = group_capacity(p);
    stride = round_up<C>(most);
    for (int64_t h = 0; h < p.heads_per_task; ++h) heads[h].take(p, arena, width);
    for (RowBlock<C> *block : {&group_k, &group_v, &group_q, &group_dout, &group_out})
      *block = RowBlock<C>(arena, most, width, direct);
    for (C **scores : {&probability, &dscore}) *scores = arena.take<C>((most + 1) * stride);
    for (C **values : {&delta, &row_lse, &class_p, &class_ds}) *values = take_lanes<C>(arena, most);
    for (const C ***rows : {&own_k, &own_v, &own_q, &own_dout, &base_dk, &base_dv}) *rows = arena.take<const C *>(most);
    for (TargetBlock<C> *block : {&to_dq, &to_dk, &to_dv}) *block = TargetBlock<C>(arena, most, width, direct);
    row_buffer = arena.take<C>(width);
    const bool any_global = p.global.capacity > 0;
    rank = arena.take<int64_t>(any_global ? p.rows : 0);
    for (C **rows : {&global_dk, &global_dv}) *rows = arena.take<C>(p.global.capacity * width);
  }

  void start(const TaskRange &task, Tasks &tasks_of_thread) {
    range = task;
    tasks = &tasks_of_thread;
    for (int64_t h = 0; h < range.heads; ++h) {
      heads[h].start(p, range.batch, range.first_head + h);
      start_class_rows(heads[h], range.chunk == 0);
    }
  }

  void clear_class_rows(Head &head) {
    const size_t bytes = static_cast<size_t>(p.leads * width) * sizeof(C);
    for (C *rows : {head.class_dq, head.class_dk, head.class_dv}) std::memset(rows, 0, bytes);
  }

  // The first chunk holds the class token's own key.
  void start_class_rows(Head &head, bool first) {
    const int leads = static_cast<int>(p.leads);
    clear_class_rows(head);
    for (int i = 0; i < leads; ++i) group_out.read(head.out, i, i);
    deltas(head.class_dout.rows, leads, head.class_delta);
    if (!first) return;
    pair_dots<C>(head.class_q.rows, head.class_k.rows, leads, width, class_p, ahead);
    pair_dots<C>(head.class_dout.rows, head.class_v.rows, leads, width, class_ds, ahead);
    for (int i = 0; i < leads; ++i) {
      const C probability_self = exp_one(class_p[i] * scale - head.lse[i]);
      const C factor = head.philox.template factor<C>(i, i, gain);
      const C ds = probability_self * (class_ds[i] * factor - head.class_delta[i]) * scale;
      add_scaled<C>(head.class_dq + i * width, ds, head.class_k.rows[i], width);
      add_scaled<C>(head.class_dk + i * width, ds, head.class_q.rows[i], width);
      add_scaled<C>(head.class_dv + i * width, probability_self * factor, head.class_dout.rows[i], width);
    }
  }

  // rowsum(dout * out), which equals rowsum(dP * P), of `count` rows whose outputs are in group_out.
  void deltas(const C *const *dout_rows, int count, C *to) {
    pair_dots<C>(dout_rows, group_out.rows, count, width, to, ahead);
  }

  void zero_padding(Head &head) {
    for (int i = 0; i < group.padding; ++i) {
      head.dq.zero(group.padded_at[i]);
      head.dk.zero(group.padded_at[i]);
      head.dv.zero(group.padded_at[i]);
    }
  }

  // Points all lists of rows at this head.
  void aim(Head &head) {
    for (int i = 0; i < group.size; ++i) {
      const int64_t position = group.position[i];
      group_k.read(head.k, position, i);
      group_v.read(head.v, position, i);
      own_q[i] = head.class_q.rows[group.lead[i]];
      own_dout[i] = head.class_dout.rows[group.lead[i]];
      to_dk.aim(head.dk, position, i);
      to_dv.aim(head.dv, position, i);
      const int64_t at = group.visible[i] ? rank[position] * width : 0;
      base_dk[i] = group.visible[i] ? global_dk + at : nullptr;
      base_dv[i] = group.visible[i] ? global_dv + at : nullptr;
    }
    for (int r = 0; r < group.local; ++r) {
      const int at = group.query[r];
      const int64_t position = group.position[at];
      query_position[r] = position;
      group_q.read(head.q, position, r);
      group_dout.read(head.dout, position, r);
      group_out.read(head.out, position, r);
      own_k[r] = head.class_k.rows[group.lead[at]];
      own_v[r] = head.class_v.rows[group.lead[at]];
      to_dq.aim(head.dq, position, r);
    }
  }

  // The same, from the head before, whose rows are neighbours in memory. There are no global queries then.
  void aim_next() {
    for (const C **rows : {group_k.rows, group_v.rows, own_q, own_dout}) shift_rows(rows, group.size, p.dim);
    for (C **rows : {to_dk.rows, to_dv.rows}) shift_rows(rows, group.size, p.dim);
    for (const C **rows : {group_q.rows, group_dout.rows, group_out.rows, own_k, own_v})
      shift_rows(rows, group.local, p.dim);
    shift_rows(to_dq.rows, group.local, p.dim);
  }

  // The class query of each key's lead: weights of its gradients, and the class query's own gradient.
  void class_queries(Head &head) {
    for (int i = 0; i < group.size; ++i) row_lse[i] = head.lse[group.lead[i]];
    pair_dots<C>(own_q, group_k.rows, group.size, width, class_p, ahead);
    pair_dots<C>(own_dout, group_v.rows, group.size, width, class_ds, ahead);
    for (int64_t i = 0; i < group.size; i += kLanes<C>) {
      store(class_p + i, vexp(load(class_p + i) * scale - load(row_lse + i)));
    }
    for (int i = 0; i < group.size; ++i) {
      const int lead = group.lead[i];
      const C factor = head.philox.template factor<C>(lead, group.position[i], gain);
      class_ds[i] = class_p[i] * (class_ds[i] * factor - head.class_delta[lead]) * scale;
      class_p[i] *= factor;
      add_scaled<C>(head.class_dq + lead * width, class_ds[i], group_k.rows[i], width);
    }
  }

  void local_queries(Head &head) {
    const int queries = group.local, keys = group.size;
    for (int r = 0; r < queries; ++r) row_lse[r] = head.lse[query_position[r]];
    deltas(group_dout.rows, queries, delta);
    C *own_p = probability + keys * stride, *own_ds = dscore + keys * stride;
    dots<C>(group_k.rows, keys, group_q.rows, queries, width, probability, stride, ahead);
    dots<C>(group_v.rows, keys, group_dout.rows, queries, width, dscore, stride, ahead);
    pair_dots<C>(group_q.rows, own_k, queries, width, own_p, ahead);
    pair_dots<C>(group_dout.rows, own_v, queries, width, own_ds, ahead);
    local_gradients(head.philox);
    for (int r = 0; r < queries; ++r) {
      const int64_t at = group.lead[group.query[r]] * width;
      add_scaled<C>(head.class_dk + at, own_ds[r], group_q.rows[r], width);
      add_scaled<C>(head.class_dv + at, own_p[r], group_dout.rows[r], width);
    }
    weighted_sum<C, W>(
        {dscore, 1, stride, group_k.rows, keys, nullptr, own_ds, own_k, to_dq.rows, queries, width, p.stream}, ahead);
    for (int r = 0; r < queries; ++r) head.dq.commit(query_position[r], to_dq.rows[r]);
  }

  void local_gradients(const Philox &philox) {
    const int queries = group.local, keys = group.size;
    if (!philox.active()) {
      logit_gradients<C>(probability, dscore, stride, keys + 1, queries, scale, row_lse, delta, ahead);
      return;
    }
    dropped_logit_gradients<C>(probability, dscore, stride, keys, queries, scale, row_lse, delta, philox,
                               group.position, query_position, gain);
    for (int r = 0; r < queries; ++r) { // each query has a class key of its own
      const int64_t own_key = group.lead[group.query[r]], at = keys * stride + r;
      const C p_own = exp_one(probability[at] * scale - row_lse[r]);
      const C factor = philox.factor<C>(query_position[r], own_key, gain);
      dscore[at] = p_own * (dscore[at] * factor - delta[r]) * scale;
      probability[at] = p_own * factor;
    }
  }

  void keys_and_values(Head &head) {
    const bool any_global = p.global.capacity > 0;
    weighted_sum<C, W>({dscore, stride, 1, group_q.rows, group.local, any_global ? base_dk : nullptr, class_ds, own_q,
                        to_dk.rows, group.size, width, p.stream},
                       ahead);
    weighted_sum<C, W>({probability, stride, 1, group_dout.rows, group.local, any_global ? base_dv : nullptr, class_p,
                        own_dout, to_dv.rows, group.size, width, p.stream},
                       ahead);
    for (int i = 0; i < group.size; ++i) {
      head.dk.commit(group.position[i], to_dk.rows[i]);
      head.dv.commit(group.position[i], to_dv.rows[i]);
    }
  }

  void walk() {
    const Tensor inputs[] = {p.k, p.v, p.q, p.dout, saved_out(p)};
    for (int64_t g = range.first_group; g < range.last_group; ++g) {
      fill_group(p, range.batch, g, group);
      const int64_t following = g + 1 < range.last_group ? -1 : tasks->following();
      for (int64_t h = 0; h < range.heads; ++h) {
        ahead.name<T>(p, inputs, range, h, g, following);
        Head &head = heads[h];
        zero_padding(head);
        if (h > 0 && direct) {
          aim_next();
        } else {
          aim(head);
        }
        class_queries(head);
        if (group.local > 0) local_queries(head);
        keys_and_values(head);
      }
    }
  }

  void write_class_rows(const Head &head) {
    const RowWriter<T> *to[3] = {&head.dq, &head.dk, &head.dv};
    const C *rows[3] = {head.class_dq, head.class_dk, head.class_dv};
    for (int which = 0; which < 3; ++which) {
      for (int64_t i = 0; i < p.leads; ++i) {
        C *target = to[which]->target(i, row_buffer);
        set_scaled<C>(target, C(1), rows[which] + i * width, width);
        to[which]->commit(i, target);
      }
    }
  }

  // A chunk's gradients of the class tokens: [3, L, width].
  C *partial(const Head &head, int64_t chunk) const {
    return static_cast<C *>(p.partials) + (head.index * p.chunks + chunk) * 3 * p.leads * width;
  }

  void finish() {
    const int64_t size = p.leads * width;
    for (int64_t h = 0; h < range.heads; ++h) {
      const Head &head = heads[h];
      if (p.partials == nullptr) {
        write_class_rows(head);
        continue;
      }
      C *to = partial(head, range.chunk);
      for (const C *rows : {head.class_dq, head.class_dk, head.class_dv}) {
        std::memcpy(to, rows, static_cast<size_t>(size) * sizeof(C));
        to += size;
      }
    }
  }

  void merge(int64_t batch_head) {
    const int64_t size = p.leads * width;
    Head &head = heads[0];
    head.start(p, batch_head / p.heads, batch_head % p.heads);
    clear_class_rows(head);
    for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
      const C *from = partial(head, chunk);
      for (C *rows : {head.class_dq, head.class_dk, head.class_dv}) {
        add_scaled<C>(rows, C(1), from, size);
        from += size;
      }
    }
    write_class_rows(head);
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
