// Tokens cut from rows, and rows rounded to integers.
#pragma once

#include <cstring>

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

// Largest less smallest sample [leads][count] of each beat.
inline void spans(const float *rows, int64_t leads, int64_t n, const Grid &grid, float *out) {
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t b = 0; b < grid.count; ++b) {
      const float *row = rows + lead * n;
      float most = row[grid.first[b]], least = most;
      for (int64_t i = grid.first[b]; i < grid.last[b]; ++i) {
        most = row[i] > most ? row[i] : most;
        least = row[i] < least ? row[i] : least;
      }
      out[lead * grid.count + b] = most - least;
    }
  }
}

// Tokens [leads][slots][samples] of the beats that are lively [leads][count]; zeros elsewhere.
inline void place(const float *rows, int64_t leads, int64_t n, const Grid &grid, const bool *lively, float *out) {
  const int64_t before = grid.samples / 2;
  for (int64_t lead = 0; lead < leads; ++lead) {
    for (int64_t b = 0; b < grid.slots; ++b) {
      float *token = out + (lead * grid.slots + b) * grid.samples;
      if (b >= grid.count || !lively[lead * grid.count + b]) {
        std::memset(token, 0, grid.samples * sizeof(float));
        continue;
      }
      const int64_t start = grid.first[b] - grid.kept[b] + before, size = grid.last[b] - grid.first[b];
      std::memset(token, 0, start * sizeof(float));
      std::memcpy(token + start, rows + lead * n + grid.first[b], size * sizeof(float));
      std::memset(token + start + size, 0, (grid.samples - start - size) * sizeof(float));
    }
  }
}

// Steps [used][leads], rounded half to even, of the first `used` samples of each row.
inline void quantise(const float *rows, int64_t leads, int64_t n, int64_t used, const float *gain, int16_t *out) {
  constexpr double kRound = 6755399441055744.0; // 1.5 * 2^52: adding it leaves no binary places
  constexpr double kMost = 32767.0;
  constexpr int64_t kBlock = 128;
  int16_t held[kBlock];
  for (int64_t lead = 0; lead < leads; ++lead) {
    const double step = gain[lead];
    for (int64_t start = 0; start < used; start += kBlock) {
      const int64_t count = used - start < kBlock ? used - start : kBlock;
      const float *row = rows + lead * n + start;
      for (int64_t i = 0; i < count; ++i) {
        double steps = static_cast<double>(row[i]) / step;
        steps = steps > kMost ? kMost : steps < -kMost ? -kMost : steps;
        steps = (steps + kRound) - kRound;
        held[i] = static_cast<int16_t>(static_cast<int32_t>(steps));
      }
      for (int64_t i = 0; i < count; ++i) out[(start + i) * leads + lead] = held[i];
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
