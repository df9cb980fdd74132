// Softmax over a block of scores stored as [key, query]: the vector lanes are queries, so that maxima, sums and
// divisions run down the columns and nothing is ever reduced across lanes.
#pragma once

#include "ahead.h"
#include "math.h"
#include "philox.h"

namespace clear_kernels {
namespace CK_ISA {

template <class C> constexpr C kMinusInfinity = -static_cast<C>(INFINITY);

// Room for one value per query, zero in the padding lanes and elsewhere.
template <class C> C *take_lanes(Arena &arena, int64_t queries) {
  C *lanes = arena.take<C>(round_up<C>(queries));
  if (lanes != nullptr) std::memset(lanes, 0, static_cast<size_t>(round_up<C>(queries)) * sizeof(C));
  return lanes;
}

template <class C> CK_INLINE C exp_one(C x) { return vexp(splat(x))[0]; }
template <class C> CK_INLINE C log_one(C x) { return vlog(splat(x))[0]; }

// Running softmax of a row of queries: the largest logit so far, the sum of exp(logit - top), and the factor by which
// the last fold shrank what had been accumulated before it.
template <class C> struct Running {
  C *top, *sum, *factor; // [queries, padded]

  Running() = default;
  Running(Arena &arena, int64_t queries)
      : top(take_lanes<C>(arena, queries)), sum(take_lanes<C>(arena, queries)), factor(take_lanes<C>(arena, queries)) {}

  void reset(int64_t queries) {
    for (int64_t r = 0; r < queries; r += kLanes<C>) {
      store(top + r, splat(kMinusInfinity<C>));
      store(sum + r, Vec<C>{});
    }
  }

  // scores = exp(scale * scores - top), with top and sum brought up to date.
  void fold(C *scores, int64_t stride, int64_t keys, int64_t queries, C scale) {
    for (int64_t r = 0; r < queries; r += kLanes<C>) {
      const Vec<C> before = load(top + r);
      Vec<C> peak = before;
      for (int64_t j = 0; j < keys; ++j) peak = vmax<C>(peak, load(scores + j * stride + r) * scale);
      // Nothing attended yet: subtracting 0 keeps exp(-inf) at 0.
      const Vec<C> shift = peak > kMinusInfinity<C> ? peak : Vec<C>{};
      const Vec<C> shrink = vexp(before - shift);
      Vec<C> total = load(sum + r) * shrink;
      for (int64_t j = 0; j < keys; ++j) {
        C *at = scores + j * stride + r;
        const Vec<C> e = vexp(load(at) * scale - shift);
        store(at, e);
        total += e;
      }
      store(top + r, peak);
      store(sum + r, total);
      store(factor + r, shrink);
    }
  }

  // out = log-sum-exp
  void log_sum_exp(int64_t queries, C *out) const {
    for (int64_t r = 0; r < queries; r += kLanes<C>) store(out + r, load(top + r) + vlog(load(sum + r)));
  }
};

// scores = softmax(scale * scores) of each column at once, and its log-sum-exp.
template <class C>
inline void softmax(C *scores, int64_t stride, int64_t keys, int64_t queries, C scale, C *log_sum_exp, Ahead &ahead) {
  for (int64_t r = 0; r < queries; r += kLanes<C>) {
    C *const column = scores + r;
    Vec<C> top = load(column);
    for (int64_t j = 1; j < keys; ++j) top = vmax<C>(top, load(column + j * stride));
    const Vec<C> shift = top * scale;
    Vec<C> sum{};
    for (int64_t j = 0; j < keys; ++j) {
      ahead.lines<&Pace::exp>();
      const Vec<C> e = vexp(load(column + j * stride) * scale - shift);
      store(column + j * stride, e);
      sum += e;
    }
    const Vec<C> inverse = C(1) / sum;
    for (int64_t j = 0; j < keys; ++j) store(column + j * stride, load(column + j * stride) * inverse);
    store(log_sum_exp + r, shift + vlog(sum));
  }
}

// Turns logits into dropped probabilities, and the products dout . v into gradients of the logits:
//   p = exp(scale * logit - lse),  ds = p * (dp * f - delta) * scale,  p = p * f
// with f the dropout factor of (query, key). Each row is one key, at key_position[j].
template <class C>
inline void logit_gradients(C *p, C *ds, int64_t stride, int64_t keys, int64_t queries, C scale, const C *lse,
                            const C *delta, Ahead &ahead) {
  for (int64_t r = 0; r < queries; r += kLanes<C>) {
    const Vec<C> lse_of = load(lse + r), delta_of = load(delta + r);
    for (int64_t j = 0; j < keys; ++j) {
      ahead.lines<&Pace::exp>();
      C *at = p + j * stride + r;
      const Vec<C> probability = vexp(load(at) * scale - lse_of);
      store(at, probability);
      store(ds + j * stride + r, probability * ((load(ds + j * stride + r) - delta_of) * scale));
    }
  }
}

template <class C>
inline void dropped_logit_gradients(C *p, C *ds, int64_t stride, int64_t keys, int64_t queries, C scale, const C *lse,
                                    const C *delta, const Philox &philox, const int64_t *key_position,
                                    const int64_t *query_position, C gain) {
  for (int64_t j = 0; j < keys; ++j) {
    C *row = p + j * stride, *gradient = ds + j * stride;
    for (int64_t r = 0; r < queries; r += kLanes<C>) store(row + r, vexp(load(row + r) * scale - load(lse + r)));
    for (int64_t r = 0; r < queries; ++r) {
      const C factor = philox.factor<C>(query_position[r], key_position[j], gain);
      gradient[r] = row[r] * (gradient[r] * factor - delta[r]) * scale;
      row[r] *= factor;
    }
  }
}

} // namespace CK_ISA
} // namespace clear_kernels
