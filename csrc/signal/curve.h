// From the leads to one curve, and what it takes to weigh them.
#pragma once

#include <cmath>

#include "filter.h"
#include "kernels.h"
#include "lanes.h"
#include "running.h"
#include "select.h"

namespace clear_signal {
namespace CK_ISA {

// Root of the sum over leads of weight * min(energy / height, largest)^2, with a height and a weight per cell.
inline void weighed_sum(const float *energy, int64_t leads, int64_t n, const float *height, const float *weight,
                        int64_t cell, int64_t cells, float largest, float *out) {
  for (int64_t i = 0; i < n; ++i) out[i] = 0.0f;
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t c = 0; c < cells; ++c) {
      const int64_t start = c * cell, stop = c + 1 < cells ? start + cell : n;
      const float tall = height[lead * cells + c], counts = weight[lead * cells + c];
      const float *row = energy + lead * n;
      for (int64_t i = start; i < stop; ++i) {
        const float relative = row[i] / tall, bounded = relative < largest ? relative : largest;
        out[i] += bounded * bounded * counts;
      }
    }
  }
  for (int64_t i = 0; i < n; ++i) out[i] = std::sqrt(out[i]);
}

// Root of the squared slopes, averaged over a window, lead by lead.
inline void slope_energy(const Filter &slope, const Filter &window, const float *rows, int64_t leads, int64_t n,
                         float *out) {
  const RowFilter slopes(slope, Ends::kMirror, n), mean(window, Ends::kZero, n);
  Scratch<float> squares(n);
  for (int64_t lead = 0; lead < leads; ++lead) {
    float *row = out + lead * n;
    slopes(rows + lead * n, row);
    for (int64_t i = 0; i < n; ++i) squares[i] = row[i] * row[i];
    mean(squares.get(), row);
    for (int64_t i = 0; i < n; ++i) row[i] = std::sqrt(row[i] > 0.0f ? row[i] : 0.0f);
  }
}

// How much each lead counts in each cell; see qrs_energy.py. False where every lead is flat.
inline bool lead_weights(const float *energy, int64_t leads, int64_t n, const Weighing &w, float *contrast,
                         float *height, float *weight) {
  const int64_t size = leads * w.cells, ranks[2] = {n / 2, w.high_rank};
  Scratch<float> ordered(2 * leads), peak(size), floor(size), highest(size), noise(size), total(w.cells);
  ranked(energy, leads, n, ranks, 2, ordered.get());
  bool any = false;
  for (int64_t lead = 0; lead < leads; ++lead) {
    const float middle = ordered[lead], high = ordered[leads + lead];
    const bool alive = high > w.tiny;
    float ratio = high / (middle > w.tiny ? middle : w.tiny);
    ratio = ratio > 1.0f ? ratio : 1.0f;
    ratio = ratio < w.largest_contrast ? ratio : w.largest_contrast;
    contrast[lead] = alive ? ratio : 0.0f;
    any = any || alive;
  }
  if (!any) return false;
  cell_extremes(energy, leads, n, w.cell, w.cells, peak.get(), floor.get());
  running_maximum(peak.get(), leads, w.cells, w.rr_cells, highest.get());
  running_median(highest.get(), leads, w.cells, w.height_cells, w.height_every, height);
  running_median(floor.get(), leads, w.cells, w.noise_cells, 1, noise.get());
  for (int64_t c = 0; c < w.cells; ++c) total[c] = 0.0f;
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t c = 0; c < w.cells; ++c) {
      const int64_t at = lead * w.cells + c;
      const float tall = height[at] > w.tiny ? height[at] : w.tiny, least = tall / w.largest_contrast;
      const float local = highest[at] < tall ? highest[at] : tall;
      const float clear = local / (noise[at] > least ? noise[at] : least);
      float power = clear;
      for (int64_t p = 1; p < w.power; ++p) power *= clear;
      height[at] = tall;
      weight[at] = contrast[lead] > 0.0f ? power : 0.0f;
      total[c] += weight[at];
    }
  }
  for (int64_t i = 0; i < size; ++i) {
    const float sum = total[i % w.cells];
    weight[i] /= sum > 1e-30f ? sum : 1e-30f;
  }
  return true;
}

} // namespace CK_ISA
} // namespace clear_signal
