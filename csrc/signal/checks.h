// What the quality checks ask of every sample, row by row, so that a row is fetched from memory once.
#pragma once

#include "deal.h"
#include "kernels.h"
#include "lanes.h"
#include "select.h"

namespace clear_signal {
namespace CK_ISA {

// Smallest and largest sample of a row; false where one is NaN or infinite.
CK_INLINE bool row_range(const float *row, int64_t n, float &low, float &high) {
  constexpr int kWidth = 4 * kLanes<float>;
  float least[kWidth], most[kWidth];
  uint32_t odd[kWidth] = {};
  for (int v = 0; v < kWidth; ++v) least[v] = most[v] = row[0];
  auto take = [&](int v, float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    odd[v] |= (bits & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
    least[v] = x < least[v] ? x : least[v];
    most[v] = x > most[v] ? x : most[v];
  };
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    for (int v = 0; v < kWidth; ++v) take(v, row[i + v]);
  }
  for (; i < n; ++i) take(0, row[i]);
  low = least[0];
  high = most[0];
  for (int v = 0; v < kWidth; ++v) {
    if (odd[v]) return false;
    low = least[v] < low ? least[v] : low;
    high = most[v] > high ? most[v] : high;
  }
  return true;
}

inline bool range(const float *rows, int64_t leads, int64_t n, float *low, float *high) {
  for (int64_t lead = 0; lead < leads; ++lead) {
    if (!row_range(rows + lead * n, n, low[lead], high[lead])) return false;
  }
  return true;
}

// Samples of a row that are at its lowest or highest value.
CK_INLINE int64_t at_limits(const float *row, int64_t n, float low, float high) {
  int32_t found = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t at_low = row[i] == low, at_high = row[i] == high;
    found += at_low | at_high;
  }
  return found;
}

// Largest difference of a sample from the mean of those `reach` before and after it.
CK_INLINE float largest_curvature(const float *row, int64_t n, int64_t reach) {
  constexpr int kWidth = 2 * kLanes<float>;
  float most[kWidth] = {};
  auto take = [&](int v, const float *x) {
    const float off = (x[-reach] + x[reach]) * 0.5f - x[0], size = off < 0.0f ? -off : off;
    most[v] = size > most[v] ? size : most[v];
  };
  int64_t i = reach;
  for (; i + kWidth <= n - reach; i += kWidth) {
    for (int v = 0; v < kWidth; ++v) take(v, row + i + v);
  }
  for (; i < n - reach; ++i) take(0, row + i);
  float largest = 0.0f;
  for (int v = 0; v < kWidth; ++v) largest = most[v] > largest ? most[v] : largest;
  return largest;
}

// to += from, in whole vectors: both have room for them.
CK_INLINE void add_row(float *to, const float *from, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes<float>) store(to + i, load(to + i) + load(from + i));
}

// What the mean of `half` samples on either side and itself takes away from each `step`-th sample, from `half` on. The
// sum is that of the sums of `step` consecutive samples, and then of those left over. Returns how many. The samples are
// dealt out in `step` shares, so that those of consecutive outputs are neighbours.
CK_INLINE int64_t less_the_mean(const float *dealt, int64_t share, int64_t n, int64_t half, int64_t step, float *sums,
                                float *out) {
  const int64_t width = 2 * half + 1, count = (n - width) / step + 1, groups = width / step;
  const float per_sample = 1.0f / static_cast<float>(width);
  auto every = [&](int64_t first) { return dealt + first % step * share + first / step; }; // `step` samples apart
  if (groups > 0) std::memcpy(sums, dealt, (count + groups - 1) * sizeof(float));
  for (int64_t i = 1; i < step; ++i) add_row(sums, every(i), count + groups - 1);
  std::memset(out, 0, count * sizeof(float));
  for (int64_t g = 0; g < groups; ++g) add_row(out, sums + g, count);
  for (int64_t i = groups * step; i < width; ++i) add_row(out, every(i), count);
  const float *middle = every(half);
  for (int64_t j = 0; j < count; ++j) out[j] = middle[j] - out[j] * per_sample;
  return count;
}

// See sample_checks.py. False, and nothing said, where a sample is NaN or infinite.
inline bool lead_facts(const float *rows, int64_t leads, int64_t n, int64_t reach, int64_t half, int64_t step,
                       const Facts &facts) {
  const int64_t share = n / step + 1, room = kLanes<float>;
  Scratch<float> sums(share + room), rest(share + room), dealt(step * share + room);
  Scratch<int32_t> keys(n);
  for (int64_t lead = 0; lead < leads; ++lead) {
    const float *row = rows + lead * n;
    if (!row_range(row, n, facts.low[lead], facts.high[lead])) return false;
    facts.at_limits[lead] = at_limits(row, n, facts.low[lead], facts.high[lead]);
    facts.curvature[lead] = largest_curvature(row, n, reach);
    facts.noise[lead] = 0.0f;
    if (n <= 2 * half + 1) continue;
    deal(row, n, step, share, dealt.get());
    const int64_t count = less_the_mean(dealt.get(), share, n, half, step, sums.get(), rest.get());
    const float middle = median(rest.get(), count, keys.get());
    for (int64_t i = 0; i < count; ++i) {
      const float off = rest[i] - middle;
      rest[i] = off < 0.0f ? -off : off;
    }
    facts.noise[lead] = median(rest.get(), count, keys.get());
  }
  return true;
}

} // namespace CK_ISA
} // namespace clear_signal
