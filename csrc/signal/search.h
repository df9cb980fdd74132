// The search for places where a heartbeat may be, from the leads to the evidence for each place, in one call.
#pragma once

#include <cstdint>
#include <vector>

#include "candidates.h"
#include "kernels.h"

namespace clear_signal {

// Everything about the search that does not depend on the recording; names and values are those of beat_settings.py,
// qrs_energy.py, qrs_peaks.py and qrs_similarity.py.
struct SearchPlan {
  std::vector<float> slope, window, shape; // taps, of odd numbers
  Weighing weighing;                       // but for what depends on the length
  double high_share;
  float largest;
  Search search; // likewise
  float likely;
  int64_t half, lag, chunk, neighbours;
  std::vector<int64_t> ranks; // from 0
  float unknown;
};

struct Evidence {
  Candidates candidates;
  std::vector<float> similar; // [candidates][ranks]
  std::vector<float> weight;  // [leads][candidates]
  float contrast;             // of the clearest lead
};

// False where every lead is flat. rows: [leads][n], n at least 1.
bool search_beats(const Kernels &kernels, const SearchPlan &plan, const float *rows, int64_t leads, int64_t n,
                  Evidence &found);

} // namespace clear_signal
