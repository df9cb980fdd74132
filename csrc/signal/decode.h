// WFDB format 16, interleaved int16 counts, to mV lead by lead.
#pragma once

#include "deal.h"
#include "kernels.h"
#include "lanes.h"
#include "quotient.h"

namespace clear_signal {
namespace CK_ISA {

template <class X>
CK_INLINE void decode_as(const int16_t *counts, int64_t columns, const int64_t *picked, int64_t leads, int64_t n,
                         const double *baseline, const double *gain, const double *unit, X *out, int32_t *sums) {
  constexpr int64_t kBlock = 128; // samples whose counts stay in the first cache for all leads
  constexpr int32_t kMissing = -32768;
  const X missing = static_cast<X>(__builtin_nan(""));
  for (int64_t lead = 0; lead < leads; ++lead) sums[lead] = 0;
  int32_t held[kBlock];
  constexpr int64_t kPairs = 6; // of columns, which are dealt out together where there are twelve
  int32_t pairs[kPairs * kBlock];
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t count = n - start < kBlock ? n - start : kBlock;
    const bool dealt = columns == 2 * kPairs && count == kBlock;
    if (dealt) deal_pairs<kPairs, kBlock>(counts + start * columns, pairs);
    for (int64_t lead = 0; lead < leads; ++lead) {
      const int16_t *from = counts + start * columns + picked[lead];
      X *to = out + lead * n + start;
      const double zero = baseline[lead], in_mv = unit[lead];
      const Quotient quotient(gain[lead]);
      if (dealt) {
        const int32_t *pair = pairs + picked[lead] / 2 * kBlock;
        const int up = picked[lead] % 2 ? 0 : 16;
        for (int64_t i = 0; i < kBlock; ++i) held[i] = static_cast<int32_t>(static_cast<uint32_t>(pair[i]) << up) >> 16;
      } else {
        for (int64_t i = 0; i < count; ++i) held[i] = from[i * columns];
      }
      uint32_t sum = 0; // may wrap round: a checksum has but 16 bits
      int32_t gaps = 0;
      for (int64_t i = 0; i < count; ++i) {
        sum += static_cast<uint32_t>(held[i]);
        gaps |= held[i] == kMissing;
      }
      // In this order, as wfdb.rdsamp does.
      quotient.with([&](const auto &divided) {
        for (int64_t i = 0; i < count; ++i)
          to[i] = static_cast<X>(divided(static_cast<double>(held[i]) - zero) * in_mv);
      });
      for (int64_t i = 0; gaps && i < count; ++i) {
        if (held[i] == kMissing) to[i] = missing;
      }
      sums[lead] = static_cast<int32_t>(static_cast<uint32_t>(sums[lead]) + sum);
    }
  }
}

// Counts [n][columns], of which columns `picked`, to mV [leads][n], in single or double precision; and their sums.
inline void decode(const int16_t *counts, int64_t columns, const int64_t *picked, int64_t leads, int64_t n,
                   const double *baseline, const double *gain, const double *unit, bool single, void *out,
                   int32_t *sums) {
  if (single) {
    decode_as(counts, columns, picked, leads, n, baseline, gain, unit, static_cast<float *>(out), sums);
  } else {
    decode_as(counts, columns, picked, leads, n, baseline, gain, unit, static_cast<double *>(out), sums);
  }
}

} // namespace CK_ISA
} // namespace clear_signal
