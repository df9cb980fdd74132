// Extremes and medians of a stretch around each place of short rows.
#pragma once

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

// The element of rank size / 2 of each of kLanes windows, lane by lane: window[i * stride] holds their i-th elements.
// It is the one with as many before it in order, where the first of equals comes first. Counts are kept as floats, to
// need no other kind of vector.
CK_INLINE Vec<float> upper_medians(const float *window, int64_t size, int64_t stride) {
  const Vec<float> rank = splat(static_cast<float>(size / 2)), one = splat(1.0f), zero = splat(0.0f);
  Vec<float> found = zero;
  for (int64_t i = 0; i < size; ++i) {
    const Vec<float> x = load(window + i * stride);
    Vec<float> before = zero;
    for (int64_t j = 0; j < i; ++j) before = load(window + j * stride) <= x ? before + one : before;
    for (int64_t j = i + 1; j < size; ++j) before = load(window + j * stride) < x ? before + one : before;
    found = before == rank ? x : found;
  }
  return found + zero; // no -0
}

// Median of `size` samples around each `every`-th place, which its neighbours share; see order_statistics.py.
inline void running_median(const float *rows, int64_t leads, int64_t n, int64_t size, int64_t every, float *out) {
  const int64_t places = (n + every - 1) / every, first = every / 2 - size / 2, lanes = kLanes<float>;
  const int64_t windows = (leads * places + lanes - 1) / lanes * lanes;
  Scratch<float> window(size * lanes), median(windows);
  for (int64_t start = 0; start < windows; start += lanes) {
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const int64_t mine = start + lane < leads * places ? start + lane : 0;
      const float *row = rows + mine / places * n;
      const int64_t from = mine % places * every + first;
      for (int64_t i = 0; i < size; ++i) {
        const int64_t at = from + i;
        window[i * lanes + lane] = row[at < 0 ? 0 : at < n ? at : n - 1];
      }
    }
    store(median.get() + start, upper_medians(window.get(), size, lanes));
  }
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t i = 0; i < n; ++i) out[lead * n + i] = median[lead * places + i / every];
  }
}

// Largest of `size`, an odd number, of samples around each.
inline void running_maximum(const float *rows, int64_t leads, int64_t n, int64_t size, float *out) {
  const int64_t half = size / 2;
  for (int64_t lead = 0; lead < leads; ++lead) {
    const float *row = rows + lead * n;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t start = i < half ? 0 : i - half, stop = i + half < n ? i + half + 1 : n;
      float most = row[start];
      for (int64_t j = start + 1; j < stop; ++j) most = row[j] > most ? row[j] : most;
      out[lead * n + i] = most;
    }
  }
}

// Largest and smallest sample of each cell; the last cell takes what is left.
inline void cell_extremes(const float *rows, int64_t leads, int64_t n, int64_t cell, int64_t cells, float *largest,
                          float *smallest) {
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t c = 0; c < cells; ++c) {
      const float *row = rows + lead * n;
      const int64_t start = c * cell, stop = c + 1 < cells ? start + cell : n;
      float most = row[start], least = row[start];
      for (int64_t i = start + 1; i < stop; ++i) {
        most = row[i] > most ? row[i] : most;
        least = row[i] < least ? row[i] : least;
      }
      largest[lead * cells + c] = most;
      smallest[lead * cells + c] = least;
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
