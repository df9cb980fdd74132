// Order statistics without sorting: halving an interval of values by counting, until one sample is left in it.
#pragma once

#include <cstring>
#include <initializer_list>

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

// Integers in the order of the numbers, for numbers that are not NaN, and back. -0 is taken for 0.
CK_INLINE int32_t key_of(float x) {
  int32_t bits;
  x += 0.0f;
  std::memcpy(&bits, &x, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
CK_INLINE float number_of(int32_t key) {
  const int32_t bits = key ^ ((key >> 31) & 0x7fffffff);
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

CK_INLINE int32_t count_up_to(const int32_t *keys, int64_t n, int32_t limit) {
  int32_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += keys[i] <= limit;
  return count;
}

constexpr int kSampled = 16;

// Every n/16-th key, in order: the key of any rank lies most likely within three of its place among these.
CK_INLINE void sorted_sample(const int32_t *keys, int64_t n, int32_t *sample) {
  for (int i = 0; i < kSampled; ++i) {
    const int32_t key = keys[(2 * i + 1) * n / (2 * kSampled)];
    int at = i;
    for (; at > 0 && sample[at - 1] > key; --at) sample[at] = sample[at - 1];
    sample[at] = key;
  }
}

// The key of that rank, counted from 0, among all, which lie between `least` and `most`.
CK_INLINE int32_t ranked_key(const int32_t *keys, int64_t n, int32_t rank, int32_t least, int32_t most) {
  int64_t low = least, high = most; // the key sought is in [low, high]
  int32_t below = 0, up_to = n;     // keys below low, and up to high
  auto halve = [&](int64_t middle) {
    const int32_t count = count_up_to(keys, n, static_cast<int32_t>(middle));
    const bool lower = count > rank;
    high = lower ? middle : high;
    up_to = lower ? count : up_to;
    low = lower ? low : middle + 1;
    below = lower ? below : count;
  };
  if (n >= 8 * kSampled) {
    int32_t sample[kSampled];
    sorted_sample(keys, n, sample);
    const int64_t place = static_cast<int64_t>(rank) * kSampled / n;
    for (const int64_t near : {place - 3, place + 3}) {
      if (near >= 0 && near < kSampled && sample[near] >= low && sample[near] < high) halve(sample[near]);
    }
  }
  while (low < high && up_to - below > 1) halve((low + high) >> 1);
  // Alone in the interval: the largest up to its end.
  int32_t found = least;
  const int32_t end = static_cast<int32_t>(high);
  for (int64_t i = 0; i < n; ++i) {
    const int32_t key = keys[i] <= end ? keys[i] : least;
    found = key > found ? key : found;
  }
  return found;
}

// Keys of a row, and the least and largest of them.
CK_INLINE void keys_of(const float *row, int64_t n, int32_t *keys, int32_t &least, int32_t &most) {
  for (int64_t i = 0; i < n; ++i) keys[i] = key_of(row[i]);
  least = most = keys[0];
  for (int64_t i = 0; i < n; ++i) {
    least = keys[i] < least ? keys[i] : least;
    most = keys[i] > most ? keys[i] : most;
  }
}

// The median of a row.
CK_INLINE float median(const float *row, int64_t n, int32_t *keys) {
  int32_t least, most;
  keys_of(row, n, keys, least, most);
  const int32_t size = static_cast<int32_t>(n);
  const int32_t upper = ranked_key(keys, size, size / 2, least, most);
  if (size % 2) return number_of(upper);
  int32_t smaller = 0, lower = least; // the largest of the smaller ones, if there are so many
  for (int64_t i = 0; i < n; ++i) {
    const bool is_smaller = keys[i] < upper;
    const int32_t key = is_smaller ? keys[i] : least;
    smaller += is_smaller;
    lower = key > lower ? key : lower;
  }
  if (smaller < size / 2) lower = upper;
  return (number_of(lower) + number_of(upper)) * 0.5f;
}

inline void ranked(const float *rows, int64_t leads, int64_t n, const int64_t *ranks, int64_t count, float *out) {
  Scratch<int32_t> keys(n);
  for (int64_t lead = 0; lead < leads; ++lead) {
    int32_t least, most;
    keys_of(rows + lead * n, n, keys.get(), least, most);
    for (int64_t r = 0; r < count; ++r) {
      const int32_t rank = static_cast<int32_t>(ranks[r]);
      out[r * leads + lead] = number_of(ranked_key(keys.get(), static_cast<int32_t>(n), rank, least, most));
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
