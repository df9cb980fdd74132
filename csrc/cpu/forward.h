// Forward: the local beats of each group, and the class rows as a running softmax over the groups of a chunk.
#pragma once

#include "group.h"
#include "philox.h"
#include "rows.h"
#include "softmax.h"
#include "tile.h"

namespace clear_kernels {
namespace CK_ISA {

// Class-row entries of one lead that can wait to be folded in: one per group of a block, or a whole packed group.
CK_INLINE int64_t class_slots(const Problem &p) { return p.grid() ? groups_per_block(p) : kMaxGroup; }

template <class T> struct Forward {
  using C = Compute<T>;

  const ForwardProblem &p;
  int64_t batch, head, width;
  RowReader<T> q, k, v;
  RowWriter<T> out;
  C *lse;
  Philox philox;
  C scale, gain; // gain: 1 / (1 - dropout_p)

  Group group;
  Ahead ahead;
  int64_t following_head = -1, following_group = 0; // the next task's, or -1
  int64_t query_position[kMaxGroup];
  RowBlock<C> class_q, class_k, class_v; // [L]
  RowBlock<C> group_q, group_k, block_v; // [G], [G], [groups per block * G]
  TargetBlock<C> target;                 // [G]
  C *scores;                             // [G + 1, stride] the last key is each query's class token
  int64_t stride;                        // G rounded up to whole vectors
  C *logits;                             // [G]
  const C **own_k, **own_v, **own_q;     // [G] rows of each beat's class token
  Running<C> local;                      // [G]
  Running<C> classes;                    // [L]
  C *class_rows;                         // [L, width]
  C *pending;                            // [slots, class_stride] logits that wait to be folded in
  int64_t class_stride;                  // L rounded up to whole vectors
  const C **pending_v;                   // [L, slots]
  int64_t *pending_position;             // [L, slots]
  int *pending_count;                    // [L]
  C *pending_weight;                     // [slots]

  Forward(const ForwardProblem &problem, Arena &arena) : p(problem), width(padded_width<T>(problem)) {
    const bool direct = rows_are_direct<T>(p);
    const int64_t leads = p.leads, most = group_capacity(p), slots = class_slots(p);
    stride = round_up<C>(most);
    class_stride = round_up<C>(leads);
    for (RowBlock<C> *block : {&class_q, &class_k, &class_v}) *block = RowBlock<C>(arena, leads, width, direct);
    for (RowBlock<C> *block : {&group_q, &group_k}) *block = RowBlock<C>(arena, most, width, direct);
    block_v = RowBlock<C>(arena, groups_per_block(p) * most, width, direct);
    target = TargetBlock<C>(arena, most, width, direct);
    scores = arena.take<C>((most + 1) * stride);
    logits = arena.take<C>(stride);
    for (const C ***rows : {&own_k, &own_v, &own_q}) *rows = arena.take<const C *>(most);
    local = Running<C>(arena, most);
    classes = Running<C>(arena, leads);
    class_rows = arena.take<C>(leads * width);
    pending = arena.take<C>(slots * class_stride);
    pending_v = arena.take<const C *>(leads * slots);
    pending_position = arena.take<int64_t>(leads * slots);
    pending_count = arena.take<int>(leads);
    pending_weight = arena.take<C>(slots);
  }

  void start(int64_t batch_head) {
    batch = batch_head / p.heads;
    head = batch_head % p.heads;
    q = RowReader<T>(p, p.q, batch, head);
    k = RowReader<T>(p, p.k, batch, head);
    v = RowReader<T>(p, p.v, batch, head);
    out = RowWriter<T>(p, p.out, batch, head);
    lse = static_cast<C *>(p.lse) + batch_head * p.rows;
    philox = Philox(p.seed, static_cast<uint64_t>(batch_head), p.dropout_threshold);
    scale = static_cast<C>(p.scale);
    gain = static_cast<C>(1.0 / (1.0 - p.dropout_p));
    for (int64_t i = 0; i < p.leads; ++i) {
      class_q.read(q, i, i);
      class_k.read(k, i, i);
      class_v.read(v, i, i);
    }
  }

  // Names the task to come: its batch and head, and its first group.
  void follow(int64_t batch_head, int64_t first_group) {
    following_head = batch_head;
    following_group = first_group;
  }

  // The first chunk holds the class token's own key; the others start empty.
  void start_class_rows(bool first) {
    classes.reset(p.leads);
    clear_pending();
    if (!first) {
      std::memset(class_rows, 0, static_cast<size_t>(p.leads * width) * sizeof(C));
      return;
    }
    pair_dots<C>(class_q.rows, class_k.rows, static_cast<int>(p.leads), width, pending);
    classes.fold(pending, class_stride, 1, p.leads, scale);
    for (int64_t i = 0; i < p.leads; ++i) {
      set_scaled<C>(class_rows + i * width, philox.factor<C>(i, i, gain), class_v.rows[i], width);
    }
    clear_pending();
  }

  void clear_pending() {
    for (int64_t i = 0; i < class_slots(p) * class_stride; i += kLanes<C>) store(pending + i, splat(kMinusInfinity<C>));
    for (int64_t i = 0; i < p.leads; ++i) pending_count[i] = 0;
  }

  void zero_padding() {
    for (int i = 0; i < group.padding; ++i) {
      out.zero(group.padded_at[i]);
      lse[group.padded_at[i]] = -kMinusInfinity<C>;
    }
  }

  void attend_locally(const C *const *values) {
    const int queries = group.local, keys = group.size;
    for (int r = 0; r < queries; ++r) {
      const int at = group.query[r];
      query_position[r] = group.position[at];
      group_q.read(q, group.position[at], r);
      own_k[r] = class_k.rows[group.lead[at]];
      own_v[r] = class_v.rows[group.lead[at]];
      target.aim(out, group.position[at], r);
    }
    C *own = scores + keys * stride;
    dots<C>(group_k.rows, keys, group_q.rows, queries, width, scores, stride, ahead);
    pair_dots<C>(group_q.rows, own_k, queries, width, own);
    local.reset(queries);
    local.fold(scores, stride, keys + 1, queries, scale);
    local.normalise(scores, stride, keys + 1, queries);
    if (philox.active()) drop_locally();
    weighted_sum<C>({scores, 1, stride, values, keys, nullptr, own, own_v, target.rows, queries, width, p.stream},
                    ahead);
    local.log_sum_exp(queries, logits);
    for (int r = 0; r < queries; ++r) {
      out.commit(query_position[r], target.rows[r]);
      lse[query_position[r]] = logits[r];
    }
  }

  void drop_locally() {
    for (int j = 0; j < group.size; ++j) {
      philox.apply<C>(query_position, group.local, group.position[j], gain, scores + j * stride);
    }
    C *own = scores + group.size * stride;
    for (int r = 0; r < group.local; ++r) {
      own[r] *= philox.factor<C>(query_position[r], group.lead[group.query[r]], gain);
    }
  }

  void collect_class_logits(const C *const *values) {
    for (int i = 0; i < group.size; ++i) own_q[i] = class_q.rows[group.lead[i]];
    pair_dots<C>(own_q, group_k.rows, group.size, width, logits);
    const int64_t slots = class_slots(p);
    for (int i = 0; i < group.size; ++i) {
      const int lead = group.lead[i], slot = pending_count[lead]++;
      pending[slot * class_stride + lead] = logits[i];
      pending_v[lead * slots + slot] = values[i];
      pending_position[lead * slots + slot] = group.position[i];
    }
  }

  void fold_class_rows() {
    const int64_t slots = class_slots(p);
    classes.fold(pending, class_stride, slots, p.leads, scale);
    for (int64_t i = 0; i < p.leads; ++i) {
      C *row = class_rows + i * width;
      const int n = pending_count[i];
      for (int s = 0; s < n; ++s) {
        const C factor = philox.factor<C>(i, pending_position[i * slots + s], gain);
        pending_weight[s] = pending[s * class_stride + i] * factor;
      }
      const C *was = row;
      weighted_sum<C>(
          {pending_weight, 0, 1, pending_v + i * slots, n, nullptr, classes.factor + i, &was, &row, 1, width}, ahead);
    }
    clear_pending();
  }

  // Asks for the rows of the next heartbeat, or task, while this heartbeat is worked on.
  void look_ahead(int64_t next, int64_t last) {
    ahead.clear();
    if (!p.grid() || p.all_visible) return;
    if (next < last) {
      ahead.add({k, q, v}, p.leads + next, p.beats, p.leads);
    } else if (following_head >= 0) {
      const int64_t b = following_head / p.heads, h = following_head % p.heads;
      const RowReader<T> readers[] = {{p, p.k, b, h}, {p, p.q, b, h}, {p, p.v, b, h}};
      ahead.add(readers, 0, 1, p.leads);
      ahead.add(readers, p.leads + following_group, p.beats, p.leads);
    }
    ahead.spread(2 * (p.leads / kDotRows) * (p.leads / kDotCols));
  }

  void walk(int64_t first, int64_t last) {
    const int64_t block = groups_per_block(p), most = group_capacity(p);
    for (int64_t from = first; from < last; from += block) {
      const int64_t to = from + block < last ? from + block : last;
      for (int64_t g = from; g < to; ++g) {
        fill_group(p, batch, g, group);
        look_ahead(g + 1, last);

        zero_padding();
        const int64_t slot = (g - from) * most;
        for (int i = 0; i < group.size; ++i) {
          group_k.read(k, group.position[i], i);
          block_v.read(v, group.position[i], slot + i);
        }
        if (group.local > 0) attend_locally(block_v.rows + slot);
        collect_class_logits(block_v.rows + slot);
      }
      fold_class_rows();
    }
  }

  void write_class_rows() {
    classes.log_sum_exp(p.leads, logits_of_classes());
    for (int64_t i = 0; i < p.leads; ++i) {
      C *row = class_rows + i * width;
      C *to = out.target(i, row);
      set_scaled<C>(to, C(1) / classes.sum[i], row, width);
      out.commit(i, to);
      lse[i] = logits_of_classes()[i];
    }
  }

  C *logits_of_classes() { return classes.factor; }

  // A chunk's class rows: [L, 2 + width] of (top, sum, row).
  C *partial(int64_t chunk, int64_t lead) const {
    const int64_t batch_head = batch * p.heads + head;
    return static_cast<C *>(p.partials) + ((batch_head * p.chunks + chunk) * p.leads + lead) * (2 + width);
  }

  void finish_class_rows(int64_t chunk) {
    if (p.partials == nullptr) return write_class_rows();
    for (int64_t i = 0; i < p.leads; ++i) {
      C *to = partial(chunk, i);
      to[0] = classes.top[i];
      to[1] = classes.sum[i];
      std::memcpy(to + 2, class_rows + i * width, static_cast<size_t>(width) * sizeof(C));
    }
  }

  void merge_class_rows() {
    start_class_rows(false);
    for (int64_t i = 0; i < p.leads; ++i) {
      C *row = class_rows + i * width;
      for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
        const C *from = partial(chunk, i);
        if (from[1] == C(0)) continue; // no valid beat of this lead in the chunk
        const C top = from[0] > classes.top[i] ? from[0] : classes.top[i];
        const C shrink = exp_one(classes.top[i] - top), weight = exp_one(from[0] - top);
        set_scaled<C>(row, shrink, row, width);
        add_scaled<C>(row, weight, from + 2, width);
        classes.sum[i] = classes.sum[i] * shrink + from[1] * weight;
        classes.top[i] = top;
      }
    }
    write_class_rows();
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
