// Peaks of a curve that are a certain distance apart. Compiled once: there is nothing in it for vectors.
#include "peaks.h"

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

} // namespace clear_signal
