#include "search.h"

#include <algorithm>

namespace clear_signal {
namespace {

Filter same_rate(const std::vector<float> &taps) { return {taps.data(), 1, 1, static_cast<int64_t>(taps.size()) / 2}; }

// Windows [leads][places][size] in the band of the shapes; beyond the ends the outermost sample goes on.
std::vector<float> windows(const Kernels &kernels, const SearchPlan &plan, const float *rows, int64_t leads, int64_t n,
                           const std::vector<int64_t> &place, int64_t size) {
  const int64_t count = static_cast<int64_t>(place.size());
  std::vector<int64_t> starts(count);
  for (int64_t w = 0; w < count; ++w) starts[w] = place[w] - size / 2;
  std::vector<float> out(leads * count * size), held(size);
  kernels.filter_around(same_rate(plan.shape), Ends::kMirror, rows, leads, n, starts.data(), count, size, out.data());
  for (int64_t w = 0; w < count; ++w) {
    const int64_t start = starts[w];
    if (start >= 0 && start + size <= n) continue;
    for (int64_t lead = 0; lead < leads; ++lead) {
      float *window = out.data() + (lead * count + w) * size;
      std::copy(window, window + size, held.begin());
      for (int64_t i = 0; i < size; ++i) {
        const int64_t inside = std::min(std::max<int64_t>(start + i, 0), n - 1) - start;
        window[i] = held[std::min(std::max<int64_t>(inside, 0), size - 1)];
      }
    }
  }
  return out;
}

// The twin of `similarities` in qrs_similarity.py.
void similarities(const Kernels &kernels, const SearchPlan &plan, const float *rows, int64_t leads, int64_t n,
                  Evidence &found) {
  const std::vector<int64_t> &place = found.candidates.place;
  const int64_t count = static_cast<int64_t>(place.size()), ranks = static_cast<int64_t>(plan.ranks.size());
  found.similar.assign(count * ranks, plan.unknown);
  std::vector<int64_t> others;
  for (int64_t i = 0; i < count; ++i) {
    if (found.candidates.height[i] > plan.likely) others.push_back(i);
  }
  if (others.size() < 2) return;
  const int64_t size = 2 * (plan.half + plan.lag) + 1, piece = leads * size;
  const std::vector<float> near = windows(kernels, plan, rows, leads, n, place, size);
  std::vector<float> pieces(count * piece), theirs;
  kernels.pieces(near.data(), leads, count, size, others.data(), static_cast<int64_t>(others.size()),
                 found.weight.data(), pieces.data());
  const bool whole = count <= plan.chunk;
  for (int64_t start = 0; start < count; start += plan.chunk) {
    const int64_t stop = std::min(start + plan.chunk, count), all = static_cast<int64_t>(others.size());
    int64_t first = 0, last = all;
    if (!whole) {
      first = std::lower_bound(others.begin(), others.end(), start) - others.begin() - plan.neighbours;
      last = std::lower_bound(others.begin(), others.end(), stop) - others.begin() + plan.neighbours;
      first = std::max<int64_t>(first, 0);
      last = std::min(last, all);
    }
    const int64_t compared = last - first;
    std::vector<int64_t> own(compared);
    theirs.resize(compared * piece);
    for (int64_t i = 0; i < compared; ++i) {
      const float *from = pieces.data() + others[first + i] * piece;
      own[i] = others[first + i] - start;
      std::copy(from, from + piece, theirs.begin() + i * piece);
    }
    const Pieces both{pieces.data() + start * piece,
                      theirs.data(),
                      own.data(),
                      plan.ranks.data(),
                      stop - start,
                      compared,
                      leads,
                      size,
                      2 * plan.half + 1,
                      ranks};
    kernels.correlate(both, plan.unknown, found.similar.data() + start * ranks);
  }
}

} // namespace

bool search_beats(const Kernels &kernels, const SearchPlan &plan, const float *rows, int64_t leads, int64_t n,
                  Evidence &found) {
  const int64_t cell = plan.search.cell, cells = (std::max<int64_t>(n - cell / 2, 1) + cell - 1) / cell;
  std::vector<float> energy(leads * n), contrast(leads), height(leads * cells), weight(leads * cells), curve(n);
  kernels.slope_energy(same_rate(plan.slope), same_rate(plan.window), rows, leads, n, energy.data());
  Weighing weighing = plan.weighing;
  weighing.cells = cells;
  weighing.high_rank = static_cast<int64_t>(plan.high_share * static_cast<double>(n));
  if (!kernels.lead_weights(energy.data(), leads, n, weighing, contrast.data(), height.data(), weight.data())) {
    return false;
  }
  kernels.weighed_sum(energy.data(), leads, n, height.data(), weight.data(), cell, cells, plan.largest, curve.data());
  Search search = plan.search;
  search.cells = cells;
  found.candidates = find_candidates(kernels, curve.data(), n, search);
  const std::vector<int64_t> &place = found.candidates.place;
  found.weight.reserve(leads * place.size());
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (const int64_t at : place) found.weight.push_back(weight[lead * cells + std::min(at / cell, cells - 1)]);
  }
  found.contrast = *std::max_element(contrast.begin(), contrast.end());
  if (!place.empty()) similarities(kernels, plan, rows, leads, n, found);
  return true;
}

} // namespace clear_signal
