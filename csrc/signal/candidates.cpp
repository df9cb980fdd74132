#include "candidates.h"

#include <algorithm>

namespace clear_signal {

std::vector<int64_t> spaced_peaks(const float *curve, int64_t n, int64_t distance) {
  std::vector<int64_t> place;
  for (int64_t i = 1; i < n - 1; ++i) {
    if (!(curve[i - 1] < curve[i])) continue;
    int64_t ahead = i + 1;
    while (ahead < n - 1 && curve[ahead] == curve[i]) ++ahead;
    if (curve[ahead] < curve[i]) {
      place.push_back((i + ahead - 1) / 2);
      i = ahead;
    }
  }
  const int64_t count = static_cast<int64_t>(place.size());
  std::vector<int64_t> order(count);
  for (int64_t i = 0; i < count; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return curve[place[a]] < curve[place[b]]; });
  std::vector<char> kept(count, 1);
  for (int64_t i = count; i-- > 0;) {
    const int64_t best = order[i];
    if (!kept[best]) continue;
    for (int64_t j = best; j-- > 0 && place[best] - place[j] < distance;) kept[j] = 0;
    for (int64_t j = best + 1; j < count && place[j] - place[best] < distance; ++j) kept[j] = 0;
  }
  int64_t left = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (kept[i]) place[left++] = place[i];
  }
  place.resize(left);
  return place;
}

Candidates find_candidates(const Kernels &kernels, const float *curve, int64_t n, const Search &s) {
  std::vector<float> largest(s.cells), floor(s.cells), highest(s.cells), usual(s.cells), quiet(s.cells);
  kernels.cell_extremes(curve, 1, n, s.cell, s.cells, largest.data(), floor.data());
  kernels.running_maximum(largest.data(), 1, s.cells, s.rr_cells, highest.data());
  kernels.running_median(highest.data(), 1, s.cells, s.height_cells, s.height_every, usual.data());
  kernels.running_median(floor.data(), 1, s.cells, s.noise_cells, 1, quiet.data());
  Candidates found;
  for (const int64_t place : spaced_peaks(curve, n, s.distance)) {
    const int64_t cell = std::min(place / s.cell, s.cells - 1);
    const float height = curve[place] / std::max(usual[cell], 1e-12f);
    if (!(height > s.lowest)) continue;
    found.place.push_back(place);
    found.height.push_back(height);
    found.clearness.push_back(curve[place] / std::max(quiet[cell], s.lowest_floor));
  }
  return found;
}

void rhythm(const Kernels &kernels, const int64_t *place, const bool *sure, int64_t count, int64_t window,
            double *out) {
  std::vector<int64_t> beats;
  for (int64_t i = 0; i < count; ++i) {
    if (sure[i]) beats.push_back(place[i]);
  }
  const int64_t last = static_cast<int64_t>(beats.size()) - 1; // and so many intervals
  std::vector<float> intervals(last), usual(last);
  for (int64_t i = 0; i < last; ++i) intervals[i] = static_cast<float>(beats[i + 1] - beats[i]);
  kernels.running_median(intervals.data(), 1, last, std::min(window, last), 1, usual.data());
  int64_t position = 0; // sure beats before this candidate
  for (int64_t i = 0; i < count; ++i) {
    const int64_t before = position - 1, after = position + sure[i];
    const double interval = usual[std::min(std::max<int64_t>(before, 0), last - 1)];
    const double since = before < 0 ? 1.0 : static_cast<double>(place[i] - beats[before]) / interval;
    const double until = after > last ? 1.0 : static_cast<double>(beats[after] - place[i]) / interval;
    out[3 * i] = std::min(std::max(since + until, 0.5), 3.0);
    out[3 * i + 1] = std::min(std::max(std::min(since, until), 0.2), 1.0);
    out[3 * i + 2] = std::min(std::max(since, 0.2), 1.0);
    position += sure[i];
  }
}

} // namespace clear_signal
