// Tokens cut from rows, and rows rounded to integers.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels.h"
#include "lanes.h"
#include "quotient.h"

namespace clear_signal {
namespace CK_ISA {

// Tokens of the beats of a recording, zeros elsewhere; those that span `flat` or more are valid. A beat reaches
// half-way to its neighbours and at most to the ends of its token. fs is the rate in Hz.
inline void cut(const float *rows, int64_t leads, int64_t n, const Beats &beats, float flat, double fs,
                const Grid &grid) {
  const int64_t before = beats.samples / 2;
  for (int64_t b = 0; b < beats.slots; ++b) {
    const bool there = b < beats.count;
    grid.place[b] = there ? static_cast<int32_t>(beats.place[b]) : -1;
    grid.seconds[b] = there ? static_cast<int32_t>(std::floor(static_cast<double>(beats.place[b]) / fs)) + 1 : 0;
  }
  float *const tokens = grid.tokens;
  bool *const valid = grid.valid;
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

// Each row in steps of its own [n][leads], so large that its largest sample takes 32767, rounded half to even.
inline void quantise(const float *rows, int64_t leads, int64_t n, int16_t *out, float *gain) {
  constexpr double kRound = 6755399441055744.0; // 1.5 * 2^52: adding it leaves no binary places
  constexpr double kMost = 32767.0;
  constexpr float kSmallest = 1.17549435e-38f; // of normal numbers
  constexpr int64_t kBlock = 128;
  constexpr int kWidth = 4 * kLanes<float>;
  int16_t held[kBlock];
  for (int64_t lead = 0; lead < leads; ++lead) {
    const float *row = rows + lead * n;
    float size[kWidth] = {}, largest = 0.0f;
    auto take = [&](int v, float x) {
      const float large = x < 0.0f ? -x : x;
      size[v] = large > size[v] ? large : size[v];
    };
    int64_t at = 0;
    for (; at + kWidth <= n; at += kWidth) {
      for (int v = 0; v < kWidth; ++v) take(v, row[at + v]);
    }
    for (; at < n; ++at) take(0, row[at]);
    for (int v = 0; v < kWidth; ++v) largest = size[v] > largest ? size[v] : largest;
    const float step = largest > 0.0f ? largest / 32767.0f : 1.0f;
    gain[lead] = step > kSmallest ? step : kSmallest;
    const Quotient quotient(gain[lead]);
    for (int64_t start = 0; start < n; start += kBlock) {
      const int64_t count = n - start < kBlock ? n - start : kBlock;
      const float *from = row + start;
      quotient.with([&](const auto &divided) {
        for (int64_t i = 0; i < count; ++i) {
          double steps = divided(static_cast<double>(from[i]));
          steps = steps > kMost ? kMost : steps < -kMost ? -kMost : steps;
          steps = (steps + kRound) - kRound;
          held[i] = static_cast<int16_t>(static_cast<int32_t>(steps));
        }
      });
      for (int64_t i = 0; i < count; ++i) out[(start + i) * leads + lead] = held[i];
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
