// WFDB format 16, interleaved int16 counts, to mV lead by lead.
#pragma once

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

inline void decode(const int16_t *counts, int64_t columns, const int64_t *picked, int64_t leads, int64_t n,
                   const double *baseline, const double *gain, const double *unit, double *out, int32_t *sums) {
  constexpr int64_t kBlock = 128; // samples whose counts stay in the first cache for all leads
  constexpr int32_t kMissing = -32768;
  const double missing = __builtin_nan("");
  for (int64_t lead = 0; lead < leads; ++lead) sums[lead] = 0;
  int32_t held[kBlock];
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t count = n - start < kBlock ? n - start : kBlock;
    for (int64_t lead = 0; lead < leads; ++lead) {
      const int16_t *from = counts + start * columns + picked[lead];
      double *to = out + lead * n + start;
      const double zero = baseline[lead], per_unit = gain[lead], in_mv = unit[lead];
      for (int64_t i = 0; i < count; ++i) held[i] = from[i * columns];
      uint32_t sum = 0; // may wrap round: a checksum has but 16 bits
      int32_t gaps = 0;
      for (int64_t i = 0; i < count; ++i) {
        sum += static_cast<uint32_t>(held[i]);
        gaps |= held[i] == kMissing;
      }
      // In this order, as wfdb.rdsamp does.
      for (int64_t i = 0; i < count; ++i) {
        to[i] = (static_cast<double>(held[i]) - zero) / per_unit * in_mv;
      }
      for (int64_t i = 0; gaps && i < count; ++i) {
        if (held[i] == kMissing) to[i] = missing;
      }
      sums[lead] = static_cast<int32_t>(static_cast<uint32_t>(sums[lead]) + sum);
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
