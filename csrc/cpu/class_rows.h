// Forward of the class rows: a running softmax for the class token of each lead, fed group by group.
#pragma once

#include "group.h"
#include "philox.h"
#include "rows.h"
#include "softmax.h"
#include "tile.h"

namespace clear_kernels {
namespace CK_ISA {

// Beats of one lead that a group can hold: a heartbeat has one, a block of packed tokens may be of a single lead.
CK_INLINE int64_t beats_of_lead(const Problem &p) { return p.grid() ? 1 : kMaxGroup; }

// to = shrink * to + weight * from
template <class C, class W> CK_INLINE void rescale_add(C *to, C shrink, C weight, const C *from, W width) {
  for (int64_t d = 0; d < width; d += kLanes<C>) {
    store(to + d, load(to + d) * shrink + weight * load(from + d));
  }
}

template <class C, class W> struct ClassRows {
  int64_t leads;
  W width;
  C *rows;          // [L, width] weighted sums of values
  Running<C> sofar; // [L]

  ClassRows() = default;
  ClassRows(Arena &arena, int64_t leads_of_problem, W width_of_row)
      : leads(leads_of_problem), width(width_of_row), rows(arena.take<C>(leads * width)), sofar(arena, leads) {}

  void clear() {
    sofar.reset(leads);
    std::memset(rows, 0, static_cast<size_t>(leads * width) * sizeof(C));
  }

  // Each class token's own key. `logits` [1, round_up(L)] holds them and is overwritten.
  void start(C *logits, const C *const *values, const Philox &philox, C scale, C gain) {
    sofar.reset(leads);
    sofar.fold(logits, 0, 1, leads, scale);
    for (int64_t i = 0; i < leads; ++i) {
      set_scaled<C>(rows + i * width, philox.factor<C>(i, i, gain), values[i], width);
    }
  }

  // The beats of a group. `logits` [size] by beat; `table` [beats of a lead, round_up(L)] is scratch.
  void add(const Group &group, const C *logits, const C *const *values, C *table, const Philox &philox, C scale, C gain,
           Ahead &ahead) {
    const int64_t stride = round_up<C>(leads);
    if (group.whole && !philox.active()) return add_whole(logits, values, table, scale, ahead);
    for (int64_t r = 0; r < group.most_of_lead * stride; r += kLanes<C>) store(table + r, splat(kMinusInfinity<C>));
    for (int i = 0; i < group.size; ++i) table[group.place[i] * stride + group.lead[i]] = logits[i];
    sofar.fold(table, stride, group.most_of_lead, leads, scale);
    for (int i = 0; i < group.size; ++i) {
      ahead.lines<&Pace::row>();
      const int lead = group.lead[i];
      const C weight = table[group.place[i] * stride + lead] * philox.factor<C>(lead, group.position[i], gain);
      const C shrink = group.place[i] == 0 ? sofar.factor[lead] : C(1);
      rescale_add<C>(rows + lead * width, shrink, weight, values[i], width);
    }
  }

  // The same for a heartbeat whose weights stand in the order of the leads.
  void add_whole(const C *logits, const C *const *values, C *weights, C scale, Ahead &ahead) {
    for (int64_t r = 0; r < leads; r += kLanes<C>) store(weights + r, load(logits + r));
    sofar.fold(weights, 0, 1, leads, scale);
    for (int64_t i = 0; i < leads; ++i) {
      ahead.lines<&Pace::row>();
      rescale_add<C>(rows + i * width, sofar.factor[i], weights[i], values[i], width);
    }
  }

  // The state of each lead as (top, sum, row), to be merged with those of other chunks.
  int64_t partial_size() const { return leads * (2 + width); }

  void save(C *to) const {
    for (int64_t i = 0; i < leads; ++i, to += 2 + width) {
      to[0] = sofar.top[i];
      to[1] = sofar.sum[i];
      std::memcpy(to + 2, rows + i * width, static_cast<size_t>(width) * sizeof(C));
    }
  }

  void merge(const C *from) {
    for (int64_t i = 0; i < leads; ++i, from += 2 + width) {
      if (from[1] == C(0)) continue; // no valid beat of this lead in the chunk
      C &top = sofar.top[i], &sum = sofar.sum[i];
      const C peak = from[0] > top ? from[0] : top;
      const C shrink = exp_one(top - peak), weight = exp_one(from[0] - peak);
      rescale_add<C>(rows + i * width, shrink, weight, from + 2, width);
      sum = sum * shrink + from[1] * weight;
      top = peak;
    }
  }

  template <class T> void write(const RowWriter<T> &out, C *lse) const {
    for (int64_t i = 0; i < leads; ++i) {
      C *row = rows + i * width, *to = out.target(i, row);
      set_scaled<C>(to, C(1) / sofar.sum[i], row, width);
      out.commit(i, to);
      lse[i] = sofar.top[i] + log_one(sofar.sum[i]);
    }
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
