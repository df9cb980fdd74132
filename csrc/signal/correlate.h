// How much short pieces of a recording look like others, at the best of eight lags or fewer.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

constexpr int kLags = 8;
typedef float Lags __attribute__((vector_size(4 * kLags)));
typedef float LooseLags __attribute__((vector_size(4 * kLags), aligned(4), may_alias));

// Sums over leads of the sums over samples of a[lead][i] * b[lead][i + lag], for all lags and TOGETHER pieces b.
template <int TOGETHER>
CK_INLINE void products(const float *a, const float *b, int64_t width, int64_t leads, int64_t size, float *out) {
  Lags total[TOGETHER] = {};
  for (int64_t lead = 0; lead < leads; ++lead) {
    Lags sum[TOGETHER] = {};
    for (int64_t i = 0; i < size; ++i) {
      const float x = a[lead * width + i];
      for (int t = 0; t < TOGETHER; ++t) {
        sum[t] += x * *reinterpret_cast<const LooseLags *>(b + (t * leads + lead) * width + i);
      }
    }
    for (int t = 0; t < TOGETHER; ++t) total[t] += sum[t];
  }
  for (int t = 0; t < TOGETHER; ++t) *reinterpret_cast<LooseLags *>(out + t * kLags) = total[t];
}

// Lengths of a piece at each lag.
CK_INLINE void lengths(const float *b, int64_t width, int64_t leads, int64_t size, float *out) {
  Lags total = {};
  for (int64_t lead = 0; lead < leads; ++lead) {
    Lags sum = {};
    for (int64_t i = 0; i < size; ++i) {
      const Lags x = *reinterpret_cast<const LooseLags *>(b + lead * width + i);
      sum += x * x;
    }
    total += sum;
  }
  for (int lag = 0; lag < kLags; ++lag) out[lag] = std::sqrt(total[lag]);
}

// For each of `count` pieces the similarities of these ranks, from 0, with the others; `unknown` where there is no
// other, the least there is where there are fewer. The similarity is the best over the lags of the normalised product
// of the middle `size` samples with those of the other, and at least 0. Pieces are [leads][width], with width - size +
// 1 lags, at most eight; own[b] is the place of other b among the pieces, or -1.
inline void correlate(const Pieces &p, float unknown, float *out) {
  const int64_t lags = p.width - p.size + 1, piece = p.leads * p.width, middle = lags / 2;
  // Eight lags are always computed, so the last piece needs room beyond its end.
  Scratch<float> held(p.others * piece + kLags), mine(p.count * piece + kLags);
  Scratch<float> sizes(p.others * kLags), product(p.others * kLags), best(p.others);
  std::memcpy(held.get(), p.theirs, p.others * piece * sizeof(float));
  std::memcpy(mine.get(), p.mine, p.count * piece * sizeof(float));
  for (int i = 0; i < kLags; ++i) held[p.others * piece + i] = mine[p.count * piece + i] = 0.0f;
  for (int64_t b = 0; b < p.others; ++b) {
    lengths(held.get() + b * piece, p.width, p.leads, p.size, &sizes[b * kLags]);
  }
  for (int64_t a = 0; a < p.count; ++a) {
    float length[kLags];
    lengths(mine.get() + a * piece, p.width, p.leads, p.size, length);
    const float *from = mine.get() + a * piece + middle;
    int64_t b = 0;
    for (; b + 8 <= p.others; b += 8) {
      products<8>(from, held.get() + b * piece, p.width, p.leads, p.size, &product[b * kLags]);
    }
    for (; b + 4 <= p.others; b += 4) {
      products<4>(from, held.get() + b * piece, p.width, p.leads, p.size, &product[b * kLags]);
    }
    for (; b < p.others; ++b) {
      products<1>(from, held.get() + b * piece, p.width, p.leads, p.size, &product[b * kLags]);
    }
    int64_t found = 0; // in descending order
    for (b = 0; b < p.others; ++b) {
      if (p.own[b] == a) continue; // not with itself
      float most = 0.0f;
      for (int64_t lag = 0; lag < lags; ++lag) {
        const float scale = length[middle] * sizes[b * kLags + lag];
        const float here = product[b * kLags + lag] / (scale > 1e-12f ? scale : 1e-12f);
        most = here > most ? here : most;
      }
      int64_t at = found++;
      for (; at > 0 && best[at - 1] < most; --at) best[at] = best[at - 1];
      best[at] = most;
    }
    for (int64_t r = 0; r < p.wanted; ++r) {
      const int64_t rank = p.ranks[r] < found ? p.ranks[r] : found - 1;
      out[a * p.wanted + r] = found > 0 ? best[rank] : unknown;
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
