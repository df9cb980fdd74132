// Extremes and medians of a stretch around each place of short rows.
#pragma once

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

// Puts `size` vectors in order, lane by lane, by Batcher's odd-even merges.
CK_INLINE void sort_lanes(float *window, int64_t size) {
  constexpr int64_t kWidth = kLanes<float>;
  for (int64_t merged = 1, log = 1; merged < size; merged *= 2, ++log) { // stretches of that length are in order
    for (int64_t apart = merged; apart > 0; apart /= 2) {
      for (int64_t first = apart % merged; first + apart < size; first += 2 * apart) {
        const int64_t end = first + apart < size - apart ? first + apart : size - apart;
        for (int64_t i = first; i < end; ++i) {
          if (i >> log != (i + apart) >> log) continue;
          float *low = window + i * kWidth, *high = low + apart * kWidth;
          const Vec<float> x = load(low), y = load(high);
          store(low, x < y ? x : y);
          store(high, x < y ? y : x);
        }
      }
    }
  }
}

// Median of `size` samples around each place; beyond the ends the outermost sample goes on.
inline void running_median_everywhere(const float *rows, int64_t leads, int64_t n, int64_t size, float *out) {
  constexpr int64_t kWidth = kLanes<float>;
  const int64_t half = size / 2, whole = (n + kWidth - 1) / kWidth * kWidth;
  Scratch<float> line(whole + size), window(size * kWidth);
  for (int64_t lead = 0; lead < leads; ++lead) {
    const float *row = rows + lead * n;
    for (int64_t i = 0; i < half; ++i) line[i] = row[0];
    std::memcpy(line.get() + half, row, n * sizeof(float));
    for (int64_t i = half + n; i < whole + size; ++i) line[i] = row[n - 1];
    for (int64_t first = 0; first < n; first += kWidth) {
      for (int64_t i = 0; i < size; ++i) store(window.get() + i * kWidth, load(line.get() + first + i));
      sort_lanes(window.get(), size);
      float *middle = window.get() + half * kWidth;
      store(middle, load(middle) + splat(0.0f)); // no -0
      std::memcpy(out + lead * n + first, middle, (n - first < kWidth ? n - first : kWidth) * sizeof(float));
    }
  }
}

// Median of `size` samples around each `every`-th place, which its neighbours share; see order_statistics.py.
inline void running_median(const float *rows, int64_t leads, int64_t n, int64_t size, int64_t every, float *out) {
  const int64_t places = (n + every - 1) / every, first = every / 2 - size / 2, lanes = kLanes<float>;
  if (every == 1) return running_median_everywhere(rows, leads, n, size, out);
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
    sort_lanes(window.get(), size);
    store(median.get() + start, load(window.get() + size / 2 * lanes) + splat(0.0f)); // no -0
  }
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t i = 0; i < n; ++i) out[lead * n + i] = median[lead * places + i / every];
  }
}

// Medians [leads][size] over windows, sample by sample.
inline void window_medians(const float *rows, int64_t leads, int64_t n, const int64_t *starts, int64_t windows,
                           int64_t size, float *out) {
  constexpr int64_t kWidth = kLanes<float>;
  Scratch<float> window(windows * kWidth);
  std::memset(window.get(), 0, windows * kWidth * sizeof(float));
  float *const upper = window.get() + windows / 2 * kWidth;
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t first = 0; first < size; first += kWidth) {
      const int64_t here = size - first < kWidth ? size - first : kWidth;
      for (int64_t w = 0; w < windows; ++w) {
        std::memcpy(window.get() + w * kWidth, rows + lead * n + starts[w] + first, here * sizeof(float));
      }
      sort_lanes(window.get(), windows);
      const Vec<float> lower = load(windows % 2 ? upper : upper - kWidth);
      store(upper, (lower + load(upper)) * 0.5f + splat(0.0f)); // no -0
      std::memcpy(out + lead * size + first, upper, here * sizeof(float));
    }
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
