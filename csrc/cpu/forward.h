// Forward: the local beats of each group, and the class rows as a running softmax over the groups of a chunk. A task
// takes several heads through each heartbeat: their rows are neighbours in memory, and are fetched as one.
#pragma once

#include "ahead.h"
#include "class_rows.h"

namespace clear_kernels {
namespace CK_ISA {

// One head of a sample: its tensors and the state of its class rows.
template <class T, int VECTORS> struct ForwardHead {
  using C = Compute<T>;
  using W = Width<C, VECTORS>;

  int64_t index; // batch * heads + head
  RowReader<T> q, k, v;
  RowWriter<T> out;
  C *lse;
  Philox philox;
  RowBlock<C> class_q, class_k, class_v; // [L]
  ClassRows<C, W> classes;

  void take(const Problem &p, Arena &arena, W width) {
    const bool direct = rows_are_direct<T>(p);
    for (RowBlock<C> *block : {&class_q, &class_k, &class_v}) *block = RowBlock<C>(arena, p.leads, width, direct);
    classes = ClassRows<C, W>(arena, p.leads, width);
  }

  void start(const ForwardProblem &p, int64_t batch, int64_t head) {
    index = batch * p.heads + head;
    q = RowReader<T>(p, p.q, batch, head);
    k = RowReader<T>(p, p.k, batch, head);
    v = RowReader<T>(p, p.v, batch, head);
    out = RowWriter<T>(p, p.out, batch, head);
    lse = static_cast<C *>(p.lse) + index * p.rows;
    philox = Philox(p.seed, static_cast<uint64_t>(index), p.dropout_threshold);
    for (int64_t i = 0; i < p.leads; ++i) {
      class_q.read(q, i, i);
      class_k.read(k, i, i);
      class_v.read(v, i, i);
    }
  }
};

template <class T, int VECTORS> struct Forward {
  using C = Compute<T>;
  using W = Width<C, VECTORS>;
  using Head = ForwardHead<T, VECTORS>;

  const ForwardProblem &p;
  W width;
  C scale, gain; // gain: 1 / (1 - dropout_p)
  Head heads[kMaxHeads];
  TaskRange range{};
  bool direct;            // rows are used where they lie
  Tasks *tasks = nullptr; // of this thread

  Group group;
  Ahead ahead;
  int64_t query_position[kMaxGroup];
  RowBlock<C> group_q, group_k, group_v; // [G]
  TargetBlock<C> target;                 // [G]
  int64_t stride;                        // G rounded up to whole vectors
  C *scores;                             // [G + 1, stride] the last key is each query's class token
  C *logits;                             // [stride]
  C *class_logits;                       // [stride] of each beat's class token with the beat
  const C **own_k, **own_v, **own_q;     // [G] rows of each beat's class token
  C *class_table;                        // [beats of a lead, L rounded up]

  Forward(const ForwardProblem &problem, Arena &arena)
      : p(problem), width{padded_width<T>(problem)}, scale(static_cast<C>(problem.scale)),
        gain(static_cast<C>(1.0 / (1.0 - problem.dropout_p))) {
    direct = rows_are_direct<T>(p);
    const int64_t most = group_capacity(p);
    stride = round_up<C>(most);
    for (int64_t h = 0; h < p.heads_per_task; ++h) heads[h].take(p, arena, width);
    for (RowBlock<C> *block : {&group_q, &group_k, &group_v}) *block = RowBlock<C>(arena, most, width, direct);
    target = TargetBlock<C>(arena, most, width, direct);
    scores = arena.take<C>((most + 1) * stride);
    logits = arena.take<C>(stride);
    class_logits = arena.take<C>(stride);
    for (const C ***rows : {&own_k, &own_v, &own_q}) *rows = arena.take<const C *>(most);
    class_table = arena.take<C>(beats_of_lead(p) * round_up<C>(p.leads));
  }

  void start(const TaskRange &task, Tasks &tasks_of_thread) {
    range = task;
    tasks = &tasks_of_thread;
    for (int64_t h = 0; h < range.heads; ++h) {
      heads[h].start(p, range.batch, range.first_head + h);
      start_class_rows(heads[h], range.chunk == 0);
    }
  }

  // The first chunk holds the class token's own key; the others start empty.
  void start_class_rows(Head &head, bool first) {
    if (!first) return head.classes.clear();
    pair_dots<C>(head.class_q.rows, head.class_k.rows, static_cast<int>(p.leads), width, class_table, ahead);
    head.classes.start(class_table, head.class_v.rows, head.philox, scale, gain);
  }

  void zero_padding(Head &head) {
    for (int i = 0; i < group.padding; ++i) {
      head.out.zero(group.padded_at[i]);
      head.lse[group.padded_at[i]] = -kMinusInfinity<C>;
    }
  }

  // Points all lists of rows at this head.
  void aim(Head &head) {
    for (int i = 0; i < group.size; ++i) {
      group_k.read(head.k, group.position[i], i);
      group_v.read(head.v, group.position[i], i);
      own_q[i] = head.class_q.rows[group.lead[i]];
    }
    for (int r = 0; r < group.local; ++r) {
      const int at = group.query[r];
      query_position[r] = group.position[at];
      group_q.read(head.q, group.position[at], r);
      own_k[r] = head.class_k.rows[group.lead[at]];
      own_v[r] = head.class_v.rows[group.lead[at]];
      target.aim(head.out, group.position[at], r);
    }
  }

  // The same, from the head before, whose rows are neighbours in memory.
  void aim_next() {
    for (const C **rows : {group_k.rows, group_v.rows, own_q}) shift_rows(rows, group.size, p.dim);
    for (const C **rows : {group_q.rows, own_k, own_v}) shift_rows(rows, group.local, p.dim);
    shift_rows(target.rows, group.local, p.dim);
  }

  // All that reads queries and keys, before values take their place in the first-level cache.
  void score() {
    const int queries = group.local, keys = group.size;
    if (queries > 0) {
      dots<C>(group_k.rows, keys, group_q.rows, queries, width, scores, stride, ahead);
      pair_dots<C>(group_q.rows, own_k, queries, width, scores + keys * stride, ahead);
    }
    pair_dots<C>(own_q, group_k.rows, keys, width, class_logits, ahead, true);
  }

  void attend_locally(Head &head) {
    const int queries = group.local, keys = group.size;
    C *own = scores + keys * stride;
    softmax<C>(scores, stride, keys + 1, queries, scale, logits, ahead);
    if (head.philox.active()) drop_locally(head.philox);
    weighted_sum<C, W>(
        {scores, 1, stride, group_v.rows, keys, nullptr, own, own_v, target.rows, queries, width, p.stream}, ahead);
    for (int r = 0; r < queries; ++r) {
      head.out.commit(query_position[r], target.rows[r]);
      head.lse[query_position[r]] = logits[r];
    }
  }

  void drop_locally(const Philox &philox) {
    for (int j = 0; j < group.size; ++j) {
      philox.apply<C>(query_position, group.local, group.position[j], gain, scores + j * stride);
    }
    C *own = scores + group.size * stride;
    for (int r = 0; r < group.local; ++r) {
      own[r] *= philox.factor<C>(query_position[r], group.lead[group.query[r]], gain);
    }
  }

  void walk() {
    const Tensor inputs[] = {p.k, p.q, p.v};
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
        score();
        if (group.local > 0) attend_locally(head);
        head.classes.add(group, class_logits, group_v.rows, class_table, head.philox, scale, gain, ahead);
      }
    }
  }

  C *partial(const Head &head, int64_t chunk) const {
    return static_cast<C *>(p.partials) + (head.index * p.chunks + chunk) * head.classes.partial_size();
  }

  void finish() {
    for (int64_t h = 0; h < range.heads; ++h) {
      Head &head = heads[h];
      if (p.partials == nullptr) {
        head.classes.write(head.out, head.lse);
      } else {
        head.classes.save(partial(head, range.chunk));
      }
    }
  }

  void merge(int64_t batch_head) {
    Head &head = heads[0];
    head.start(p, batch_head / p.heads, batch_head % p.heads);
    head.classes.clear();
    for (int64_t chunk = 0; chunk < p.chunks; ++chunk) head.classes.merge(partial(head, chunk));
    head.classes.write(head.out, head.lse);
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
