// Samples dealt out, so that every so many of them are neighbours.
#pragma once

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

#if defined(__AVX2__) && defined(__GNUC__) && !defined(__clang__)
typedef int32_t Places __attribute__((vector_size(4 * kLanes<float>)));

// Every DOWN-th of DOWN vectors in a row, from each of the first DOWN samples on: one vector after another gives its
// lanes. Done for as many as there are whole groups of vectors; returns how many samples each share has then.
template <int DOWN> CK_INLINE int64_t deal_vectors(const float *line, int64_t n, int64_t share, float *dealt) {
  constexpr int kWidth = kLanes<float>;
  Places takes[DOWN][DOWN];
  for (int r = 0; r < DOWN; ++r) {
    for (int step = 1; step < DOWN; ++step) {
      for (int lane = 0; lane < kWidth; ++lane) {
        const int from = lane * DOWN + r, vector = from / kWidth;
        takes[r][step][lane] = vector == step ? kWidth + from % kWidth : step == 1 && vector == 0 ? from : lane;
      }
    }
  }
  int64_t done = 0;
  for (; (done + kWidth) * DOWN <= n; done += kWidth) {
    const float *from = line + done * DOWN;
    for (int r = 0; r < DOWN; ++r) {
      Vec<float> shared = load(from);
      for (int step = 1; step < DOWN; ++step) {
        shared = __builtin_shuffle(shared, load(from + step * kWidth), takes[r][step]);
      }
      store(dealt + r * share + done, shared);
    }
  }
  return done;
}
#endif

// Sample i goes to place i / down of the (i % down)-th share.
CK_INLINE void deal(const float *__restrict line, int64_t n, int64_t down, int64_t share, float *__restrict dealt) {
  int64_t done = 0;
#if defined(__AVX2__) && defined(__GNUC__) && !defined(__clang__)
  if (down == 6) done = deal_vectors<6>(line, n, share, dealt);
  if (down == 5) done = deal_vectors<5>(line, n, share, dealt); // 500 Hz to 100 Hz
  if (down == 4) done = deal_vectors<4>(line, n, share, dealt); // 400 Hz to 100 Hz
#endif
  for (int64_t r = 0; r < down; ++r) {
    const int64_t count = (n - r + down - 1) / down;
    for (int64_t i = done; i < count; ++i) dealt[r * share + i] = line[i * down + r];
  }
}

// Counts [COUNT][2 * PAIRS] as pairs of neighbours [PAIRS][COUNT], the first of each in the lower half.
template <int PAIRS, int64_t COUNT> CK_INLINE void deal_pairs(const int16_t *counts, int32_t *pairs) {
  float line[PAIRS * COUNT], dealt[PAIRS * COUNT]; // bits that are moved and nothing else
  std::memcpy(line, counts, sizeof line);
  deal(line, PAIRS * COUNT, PAIRS, COUNT, dealt);
  std::memcpy(pairs, dealt, sizeof dealt);
}

} // namespace CK_ISA
} // namespace clear_signal
