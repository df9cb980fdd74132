// Peaks of the energy that could be heartbeats, and where they fall in the rhythm. Compiled once: there is nothing in
// them for vectors but what they ask of the kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace clear_signal {

struct Candidates {
  std::vector<int64_t> place;
  std::vector<float> height, clearness;
};

// Sizes of cells and windows, and the limits of qrs_peaks.py.
struct Search {
  int64_t distance, cell, cells, rr_cells, height_cells, height_every, noise_cells;
  float lowest, lowest_floor;
};

// Peaks (the middle of a level one, rounded down) of which the higher one, or of equals the later one, drives out those
// nearer than `distance`.
std::vector<int64_t> spaced_peaks(const float *curve, int64_t n, int64_t distance);

Candidates find_candidates(const Kernels &kernels, const float *curve, int64_t n, const Search &search);

// Intervals [count][3] of each candidate; see `rhythm` in beat_evidence.py. There are at least two sure beats.
void rhythm(const Kernels &kernels, const int64_t *place, const bool *sure, int64_t count, int64_t window, double *out);

} // namespace clear_signal
