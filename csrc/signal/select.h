// Order statistics without sorting: halving an interval of values by counting, until one sample is left in it.
#pragma once

#include <cstring>

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

// The key of that rank, counted from 0, among all, which lie between `least` and `most`.
CK_INLINE int32_t ranked_key(const int32_t *keys, int64_t n, int32_t rank, int32_t least, int32_t most) {
  int64_t low = least, high = most; // the key sought is in [low, high]
  int32_t below = 0, up_to = n;     // keys below low, and up to high
  while (low < high && up_to - below > 1) {
    const int64_t middle = (low + high) >> 1;
    const int32_t count = count_up_to(keys, n, static_cast<int32_t>(middle));
    const bool lower = count > rank;
    high = lower ? middle : high;
    up_to = lower ? count : up_to;
    low = lower ? low : middle + 1;
    below = lower ? below : count;
  }
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
  const float upper = number_of(ranked_key(keys, size, size / 2, least, most));
  if (size % 2) return upper;
  return (number_of(ranked_key(keys, size, size / 2 - 1, least, most)) + upper) * 0.5f;
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
