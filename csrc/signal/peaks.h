// Peaks of a curve that are a certain distance apart.
#pragma once

#include <cstdint>
#include <vector>

namespace clear_signal {

// Peaks (the middle of a level one, rounded down) of which the higher one, or of equals the later one, drives out those
// nearer than `distance`.
std::vector<int64_t> spaced_peaks(const float *curve, int64_t n, int64_t distance);

} // namespace clear_signal
