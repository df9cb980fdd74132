// Tokens cut from rows, and rows rounded to integers.
#pragma once

#include <cstring>

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

// Tokens [leads][slots][samples] of the beats of a recording, zeros elsewhere, and which are valid [leads][slots]:
// those that span `flat` or more. A beat reaches half-way to its neighbours and at most to the ends of its token.
inline void cut(const float *rows, int64_t leads, int64_t n, const Beats &beats, float flat, float *tokens,
                bool *valid) {
  const int64_t before = beats.samples / 2;
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t b = 0; b < beats.slots; ++b) {
      const int64_t slot = lead * beats.slots + b;
      float *token = tokens + slot * beats.samples;
      valid[slot] = false;
      if (b < beats.count) {
        const int64_t r = beats.place[b], start = r - before;
        int64_t first = b > 0 ? (beats.place[b - 1] + r + 1) / 2 : 0; // rounded up: an R peak lies in its own beat
        int64_t last = b + 1 < beats.count ? (r + beats.place[b + 1] + 1) / 2 : n;
        first = first > start ? first : start;
        last = last < start + beats.samples ? last : start + beats.samples;
        const float *row = rows + lead * n;
        float most = row[first], least = most;
        for (int64_t i = first; i < last; ++i) {
          most = row[i] > most ? row[i] : most;
          least = row[i] < least ? row[i] : least;
        }
        if (most - least >= flat) {
          valid[slot] = true;
          std::memset(token, 0, (first - start) * sizeof(float));
          std::memcpy(token + first - start, row + first, (last - first) * sizeof(float));
          std::memset(token + last - start, 0, (start + beats.samples - last) * sizeof(float));
        }
      }
      if (!valid[slot]) std::memset(token, 0, beats.samples * sizeof(float));
    }
  }
}

// Steps [used][leads], rounded half to even, of the first `used` samples of each row.
inline void quantise(const float *rows, int64_t leads, int64_t n, int64_t used, const float *gain, int16_t *out) {
  constexpr double kRound = 6755399441055744.0; // 1.5 * 2^52: adding it leaves no binary places
  constexpr double kMost = 32767.0;
  constexpr int64_t kBlock = 128;
  int16_t held[kBlock];
  for (int64_t lead = 0; lead < leads; ++lead) {
    const double step = gain[lead];
    for (int64_t start = 0; start < used; start += kBlock) {
      const int64_t count = used - start < kBlock ? used - start : kBlock;
      const float *row = rows + lead * n + start;
      for (int64_t i = 0; i < count; ++i) {
        double steps = static_cast<double>(row[i]) / step;
        steps = steps > kMost ? kMost : steps < -kMost ? -kMost : steps;
        steps = (steps + kRound) - kRound;
        held[i] = static_cast<int16_t>(static_cast<int32_t>(steps));
      }
      for (int64_t i = 0; i < count; ++i) out[(start + i) * leads + lead] = held[i];
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
