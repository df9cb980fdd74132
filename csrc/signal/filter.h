// FIR filters with a change of rate. The samples are dealt out so that those of consecutive outputs are neighbours, and
// every lane of a vector is an output of its own, which adds its products in the order of the taps.
#pragma once

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

constexpr int64_t kFilterBlock = 64; // outputs at a time, in registers

// The sample at a place that may lie beyond the ends of a row.
CK_INLINE float beyond(const float *row, int64_t n, Ends ends, int64_t at) {
  if (at >= 0 && at < n) return row[at];
  const bool before = at < 0;
  const int64_t away = before ? -at : at - (n - 1);
  const float end = before ? row[0] : row[n - 1];
  switch (ends) {
  case Ends::kHold:
    return end;
  case Ends::kLine: {
    const float slope = (row[n - 1] - row[0]) / static_cast<float>(n > 1 ? n - 1 : 1);
    return end + slope * static_cast<float>(before ? -away : away);
  }
  case Ends::kMirror: {
    const int64_t inside = away < n ? away : n - 1;
    return 2.0f * end - row[before ? inside : n - 1 - inside];
  }
  default:
    return 0.0f;
  }
}

// Outputs of TOGETHER stretches, so many that additions do not wait for each other. The samples at[k], at[k] + 1, ...
// of each are those of tap k.
template <int64_t OUTPUTS, int TOGETHER>
CK_INLINE void filter_block(const float *const *dealt, const int64_t *at, const float *taps, int64_t count,
                            float (*out)[OUTPUTS]) {
  constexpr int kVectors = OUTPUTS / kLanes<float>;
  Vec<float> sums[TOGETHER][kVectors] = {};
  for (int64_t k = 0; k < count; ++k) {
    const Vec<float> tap = splat(taps[k]);
    for (int t = 0; t < TOGETHER; ++t) {
      const float *samples = dealt[t] + at[k];
      for (int v = 0; v < kVectors; ++v) sums[t][v] += tap * load(samples + v * kLanes<float>);
    }
  }
  for (int t = 0; t < TOGETHER; ++t) {
    for (int v = 0; v < kVectors; ++v) store(out[t] + v * kLanes<float>, sums[t][v]);
  }
}

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
  if (down == 5) done = deal_vectors<5>(line, n, share, dealt); // 500 Hz to 100 Hz
  if (down == 4) done = deal_vectors<4>(line, n, share, dealt); // 400 Hz to 100 Hz
#endif
  for (int64_t r = 0; r < down; ++r) {
    const int64_t count = (n - r + down - 1) / down;
    for (int64_t i = done; i < count; ++i) dealt[r * share + i] = line[i * down + r];
  }
}

inline void filter(const Filter &f, Ends ends, const float *rows, int64_t leads, int64_t n, float *out) {
  const int64_t width = 2 * f.reach + 1, padded = n + 2 * f.reach, wanted = (n * f.up + f.down - 1) / f.down;
  const int64_t share = (padded + f.down - 1) / f.down + kFilterBlock; // of each of `down` neighbours
  Scratch<float> whole(padded), dealt(f.down * share), taps(width);
  Scratch<int64_t> at(width);
  for (int64_t i = 0; i < f.down * share; ++i) dealt[i] = 0.0f; // blocks read beyond the samples
  float block[1][kFilterBlock];
  for (int64_t lead = 0; lead < leads; ++lead) {
    float *line = f.down == 1 ? dealt.get() : whole.get();
    if (ends == Ends::kGiven) {
      std::memcpy(line, rows + lead * padded, padded * sizeof(float));
    } else {
      const float *row = rows + lead * n;
      std::memcpy(line + f.reach, row, n * sizeof(float));
      for (int64_t i = 0; i < f.reach; ++i) {
        line[i] = beyond(row, n, ends, i - f.reach);
        line[f.reach + n + i] = beyond(row, n, ends, n + i);
      }
    }
    if (f.down > 1) deal(line, padded, f.down, share, dealt.get());
    for (int64_t j = 0; j < f.up && j < wanted; ++j) { // outputs j, j + up, j + 2 up, ...
      const int64_t start = j * f.down / f.up, count = (wanted - j + f.up - 1) / f.up;
      const float *all = f.taps + j * f.down % f.up * width;
      int64_t used = 0; // taps that are not zero
      for (int64_t k = 0; k < width; ++k) {
        taps[used] = all[k];
        at[used] = (start + k) % f.down * share + (start + k) / f.down;
        used += all[k] != 0.0f;
      }
      for (int64_t q = 0; q < count; q += kFilterBlock) {
        const float *samples = dealt.get() + q;
        filter_block<kFilterBlock, 1>(&samples, at.get(), taps.get(), used, block);
        const int64_t here = count - q < kFilterBlock ? count - q : kFilterBlock;
        float *to = out + lead * wanted + j + q * f.up;
        for (int64_t i = 0; i < here; ++i) to[i * f.up] = block[0][i];
      }
    }
  }
}

// Outputs [leads][windows][count] of a filter that keeps the rate, from starts[window] on, which may lie anywhere.
inline void filter_around(const Filter &f, Ends ends, const float *rows, int64_t leads, int64_t n,
                          const int64_t *starts, int64_t windows, int64_t count, float *out) {
  constexpr int64_t kOutputs = kFilterBlock / 2;
  constexpr int kTogether = 2;
  const int64_t width = 2 * f.reach + 1, used = count + 2 * f.reach, span = used + kOutputs; // read by the last block
  const int64_t all = leads * windows;
  Scratch<float> held(kTogether * span);
  Scratch<int64_t> at(width);
  for (int64_t k = 0; k < width; ++k) at[k] = k;
  float block[kTogether][kOutputs];
  for (int64_t start = 0; start < all; start += kTogether) {
    const float *from[kTogether];
    for (int t = 0; t < kTogether; ++t) {
      const int64_t mine = start + t < all ? start + t : all - 1, first = starts[mine % windows] - f.reach;
      const float *row = rows + mine / windows * n;
      float *own = held.get() + t * span;
      if (first >= 0 && first + span <= n) {
        from[t] = row + first;
        continue;
      }
      for (int64_t i = 0; i < used; ++i) own[i] = beyond(row, n, ends, first + i);
      for (int64_t i = used; i < span; ++i) own[i] = 0.0f;
      from[t] = own;
    }
    for (int64_t q = 0; q < count; q += kOutputs) {
      filter_block<kOutputs, kTogether>(from, at.get(), f.taps, width, block);
      const int64_t here = count - q < kOutputs ? count - q : kOutputs;
      for (int t = 0; t < kTogether; ++t) {
        if (start + t < all) std::memcpy(out + (start + t) * count + q, block[t], here * sizeof(float));
        from[t] += kOutputs;
      }
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
