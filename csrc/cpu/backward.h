// Backward: probabilities are recomputed from the saved log-sum-exp. A group completes the gradients of its beats; the
// gradients of the class tokens are summed over the groups of a chunk.
#pragma once

#include "group.h"
#include "philox.h"
#include "rows.h"
#include "softmax.h"
#include "tile.h"

namespace clear_kernels {
namespace CK_ISA {

template <class T> struct Backward {
  using C = Compute<T>;

  const BackwardProblem &p;
  int64_t batch, head, width;
  RowReader<T> q, k, v, out, dout;
  RowWriter<T> dq, dk, dv;
  const C *lse;
  Philox philox;
  C scale, gain;

  Group group;
  Ahead ahead;
  int64_t following_head = -1, following_group = 0;  // the next task's, or -1
  RowBlock<C> class_q, class_k, class_v, class_dout; // [L]
  C *class_delta;                                    // [L]
  C *class_dq, *class_dk, *class_dv;                 // [L, width]
  RowBlock<C> group_k, group_v, group_q, group_dout; // [G]
  C *probability, *dscore;                           // [G + 1, stride] the last key is each query's class token
  int64_t stride;                                    // G rounded up to whole vectors
  C *delta, *row_lse;                                // [G] of each local query
  int64_t query_position[kMaxGroup];
  C *class_p, *class_ds;                         // [G] weights of a key's gradient from its class query
  const C **own_k, **own_v, **own_q, **own_dout; // [G]
  const C **base_dk, **base_dv;                  // [G] what the global queries gave, or null
  TargetBlock<C> to_dq, to_dk, to_dv;            // [G]
  C *row_buffer;                                 // [width]
  int64_t *rank;                                 // [N] index of each global token in the list
  C *global_dk, *global_dv;                      // [capacity, width]

  Backward(const BackwardProblem &problem, Arena &arena) : p(problem), width(padded_width<T>(problem)) {
    const bool direct = rows_are_direct<T>(p);
    const int64_t leads = p.leads, most = group_capacity(p);
    stride = round_up<C>(most);
    for (RowBlock<C> *block : {&class_q, &class_k, &class_v, &class_dout})
      *block = RowBlock<C>(arena, leads, width, direct);
    class_delta = arena.take<C>(round_up<C>(leads));
    for (C **rows : {&class_dq, &class_dk, &class_dv}) *rows = arena.take<C>(leads * width);
    for (RowBlock<C> *block : {&group_k, &group_v, &group_q, &group_dout})
      *block = RowBlock<C>(arena, most, width, direct);
    for (C **scores : {&probability, &dscore}) *scores = arena.take<C>((most + 1) * stride);
    for (C **values : {&delta, &row_lse, &class_p, &class_ds}) *values = arena.take<C>(stride);
    for (const C ***rows : {&own_k, &own_v, &own_q, &own_dout, &base_dk, &base_dv}) *rows = arena.take<const C *>(most);
    for (TargetBlock<C> *block : {&to_dq, &to_dk, &to_dv}) *block = TargetBlock<C>(arena, most, width, direct);
    row_buffer = arena.take<C>(width);
    const bool any_global = p.global.capacity > 0;
    rank = arena.take<int64_t>(any_global ? p.rows : 0);
    for (C **rows : {&global_dk, &global_dv}) *rows = arena.take<C>(p.global.capacity * width);
  }

  void start(int64_t batch_head) {
    batch = batch_head / p.heads;
    head = batch_head % p.heads;
    q = RowReader<T>(p, p.q, batch, head);
    k = RowReader<T>(p, p.k, batch, head);
    v = RowReader<T>(p, p.v, batch, head);
    out = RowReader<T>(p, saved_out(), batch, head);
    dout = RowReader<T>(p, p.dout, batch, head);
    dq = RowWriter<T>(p, p.dq, batch, head);
    dk = RowWriter<T>(p, p.dk, batch, head);
    dv = RowWriter<T>(p, p.dv, batch, head);
    lse = static_cast<const C *>(p.lse) + batch_head * p.rows;
    philox = Philox(p.seed, static_cast<uint64_t>(batch_head), p.dropout_threshold);
    scale = static_cast<C>(p.scale);
    gain = static_cast<C>(1.0 / (1.0 - p.dropout_p));
    for (int64_t i = 0; i < p.leads; ++i) {
      class_q.read(q, i, i);
      class_k.read(k, i, i);
      class_v.read(v, i, i);
      class_dout.read(dout, i, i);
      class_delta[i] = delta_of(i, class_dout.rows[i]);
    }
  }

  // Names the task to come: its batch and head, and its first group.
  void follow(int64_t batch_head, int64_t first_group) {
    following_head = batch_head;
    following_group = first_group;
  }

  Tensor saved_out() const { return {p.out, {p.rows * p.heads * p.dim, p.dim, p.heads * p.dim}}; }

  // rowsum(dout * out), which equals rowsum(dP * P).
  CK_INLINE C delta_of(int64_t position, const C *dout_row) {
    const C *out_row = out.get(position, row_buffer);
    C sum;
    pair_dots<C>(&dout_row, &out_row, 1, width, &sum);
    return sum;
  }

  // The first chunk holds the class token's own key.
  void start_class_rows(bool first) {
    const size_t bytes = static_cast<size_t>(p.leads * width) * sizeof(C);
    for (C *rows : {class_dq, class_dk, class_dv}) std::memset(rows, 0, bytes);
    if (!first) return;
    for (int64_t i = 0; i < p.leads; ++i) {
      C logit, dp;
      pair_dots<C>(class_q.rows + i, class_k.rows + i, 1, width, &logit);
      pair_dots<C>(class_dout.rows + i, class_v.rows + i, 1, width, &dp);
      const C probability_self = exp_one(logit * scale - lse[i]);
      const C factor = philox.factor<C>(i, i, gain);
      const C ds = probability_self * (dp * factor - class_delta[i]) * scale;
      add_scaled<C>(class_dq + i * width, ds, class_k.rows[i], width);
      add_scaled<C>(class_dk + i * width, ds, class_q.rows[i], width);
      add_scaled<C>(class_dv + i * width, probability_self * factor, class_dout.rows[i], width);
    }
  }

  void zero_padding() {
    for (int i = 0; i < group.padding; ++i) {
      dq.zero(group.padded_at[i]);
      dk.zero(group.padded_at[i]);
      dv.zero(group.padded_at[i]);
    }
  }

  // The class query of each key's lead: weights of its gradients, and the class query's own gradient.
  void class_queries() {
    for (int i = 0; i < group.size; ++i) {
      own_q[i] = class_q.rows[group.lead[i]];
      own_dout[i] = class_dout.rows[group.lead[i]];
    }
    pair_dots<C>(own_q, group_k.rows, group.size, width, class_p);
    pair_dots<C>(own_dout, group_v.rows, group.size, width, class_ds);
    for (int i = 0; i < group.size; ++i) row_lse[i] = lse[group.lead[i]];
    for (int64_t i = 0; i < group.size; i += kLanes<C>) {
      store(class_p + i, vexp(load(class_p + i) * scale - load(row_lse + i)));
    }
    for (int i = 0; i < group.size; ++i) {
      const int lead = group.lead[i];
      const C factor = philox.factor<C>(lead, group.position[i], gain);
      class_ds[i] = class_p[i] * (class_ds[i] * factor - class_delta[lead]) * scale;
      class_p[i] *= factor;
      add_scaled<C>(class_dq + lead * width, class_ds[i], group_k.rows[i], width);
    }
  }

  void local_queries() {
    const int queries = group.local, keys = group.size;
    for (int r = 0; r < queries; ++r) {
      const int at = group.query[r];
      const int64_t position = group.position[at];
      query_position[r] = position;
      group_q.read(q, position, r);
      group_dout.read(dout, position, r);
      own_k[r] = class_k.rows[group.lead[at]];
      own_v[r] = class_v.rows[group.lead[at]];
      to_dq.aim(dq, position, r);
      delta[r] = delta_of(position, group_dout.rows[r]);
      row_lse[r] = lse[position];
    }
    C *own_p = probability + keys * stride, *own_ds = dscore + keys * stride;
    dots<C>(group_k.rows, keys, group_q.rows, queries, width, probability, stride, ahead);
    dots<C>(group_v.rows, keys, group_dout.rows, queries, width, dscore, stride, ahead);
    pair_dots<C>(group_q.rows, own_k, queries, width, own_p);
    pair_dots<C>(group_dout.rows, own_v, queries, width, own_ds);
    local_gradients();
    for (int r = 0; r < queries; ++r) {
      const int64_t at = group.lead[group.query[r]] * width;
      add_scaled<C>(class_dk + at, own_ds[r], group_q.rows[r], width);
      add_scaled<C>(class_dv + at, own_p[r], group_dout.rows[r], width);
    }
    weighted_sum<C>(
        {dscore, 1, stride, group_k.rows, keys, nullptr, own_ds, own_k, to_dq.rows, queries, width, p.stream}, ahead);
    for (int r = 0; r < queries; ++r) dq.commit(query_position[r], to_dq.rows[r]);
  }

  void local_gradients() {
    const int queries = group.local, keys = group.size;
    if (!philox.active()) {
      logit_gradients<C>(probability, dscore, stride, keys + 1, queries, scale, row_lse, delta);
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

  void keys_and_values() {
    for (int i = 0; i < group.size; ++i) {
      to_dk.aim(dk, group.position[i], i);
      to_dv.aim(dv, group.position[i], i);
      const int64_t at = group.visible[i] ? rank[group.position[i]] * width : 0;
      base_dk[i] = group.visible[i] ? global_dk + at : nullptr;
      base_dv[i] = group.visible[i] ? global_dv + at : nullptr;
    }
    weighted_sum<C>({dscore, stride, 1, group_q.rows, group.local, base_dk, class_ds, own_q, to_dk.rows, group.size,
                     width, p.stream},
                    ahead);
    weighted_sum<C>({probability, stride, 1, group_dout.rows, group.local, base_dv, class_p, own_dout, to_dv.rows,
                     group.size, width, p.stream},
                    ahead);
    for (int i = 0; i < group.size; ++i) {
      dk.commit(group.position[i], to_dk.rows[i]);
      dv.commit(group.position[i], to_dv.rows[i]);
    }
  }

  // Asks for the rows of the next heartbeat, or task, while this heartbeat is worked on.
  void look_ahead(int64_t next, int64_t last) {
    ahead.clear();
    if (!p.grid() || p.all_visible) return;
    if (next < last) {
      ahead.add({k, v, q, dout, out}, p.leads + next, p.beats, p.leads);
    } else if (following_head >= 0) {
      const int64_t b = following_head / p.heads, h = following_head % p.heads;
      const RowReader<T> readers[] = {
          {p, p.k, b, h}, {p, p.v, b, h}, {p, p.q, b, h}, {p, p.dout, b, h}, {p, saved_out(), b, h}};
      ahead.add(readers, 0, 1, p.leads);
      ahead.add(readers, p.leads + following_group, p.beats, p.leads);
    }
    ahead.spread(3 * (p.leads / kDotRows) * (p.leads / kDotCols));
  }

  void walk(int64_t first, int64_t last) {
    for (int64_t g = first; g < last; ++g) {
      fill_group(p, batch, g, group);
      look_ahead(g + 1, last);
      zero_padding();
      for (int i = 0; i < group.size; ++i) {
        group_k.read(k, group.position[i], i);
        group_v.read(v, group.position[i], i);
      }
      class_queries();
      if (group.local > 0) local_queries();
      keys_and_values();
    }
  }

  void write_class_rows() {
    const RowWriter<T> *to[3] = {&dq, &dk, &dv};
    const C *rows[3] = {class_dq, class_dk, class_dv};
    for (int which = 0; which < 3; ++which) {
      for (int64_t i = 0; i < p.leads; ++i) {
        C *target = to[which]->target(i, row_buffer);
        set_scaled<C>(target, C(1), rows[which] + i * width, width);
        to[which]->commit(i, target);
      }
    }
  }

  void finish_class_rows(int64_t chunk) {
    if (p.partials == nullptr) return write_class_rows();
    const int64_t size = p.leads * width;
    C *slot = static_cast<C *>(p.partials) + ((batch * p.heads + head) * p.chunks + chunk) * 3 * size;
    for (const C *rows : {class_dq, class_dk, class_dv}) {
      std::memcpy(slot, rows, static_cast<size_t>(size) * sizeof(C));
      slot += size;
    }
  }

  void merge_class_rows() {
    const int64_t size = p.leads * width;
    start_class_rows(false);
    const C *slot = static_cast<const C *>(p.partials) + (batch * p.heads + head) * p.chunks * 3 * size;
    for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
      for (C *rows : {class_dq, class_dk, class_dv}) {
        add_scaled<C>(rows, C(1), slot, size);
        slot += size;
      }
    }
    write_class_rows();
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
