// Tokens cut out of the int16 samples of a store.
#pragma once

#include "deal.h"
#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

constexpr int64_t kTwelve = 12; // leads that are dealt out together, as pairs

// Samples [n][leads] lead by lead, each in the upper half of its number; of twelve leads the odd ones [6][n], with the
// even ones in the lower half.
CK_INLINE void deal_leads(const int16_t *samples, int64_t n, int64_t leads, int32_t *plane) {
  constexpr int64_t kPairs = kTwelve / 2, kBlock = 128;
  if (leads != kTwelve) {
    for (int64_t lead = 0; lead < leads; ++lead) {
      for (int64_t i = 0; i < n; ++i) plane[lead * n + i] = static_cast<int32_t>(samples[i * leads + lead]) * (1 << 16);
    }
    return;
  }
  int32_t dealt[kPairs * kBlock];
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t count = n - start < kBlock ? n - start : kBlock;
    const int16_t *from = samples + start * kTwelve;
    int16_t held[kTwelve * kBlock];
    if (count < kBlock) {
      std::memset(held, 0, sizeof held);
      std::memcpy(held, from, count * kTwelve * sizeof *from);
      from = held;
    }
    deal_pairs<kPairs, kBlock>(from, dealt);
    for (int64_t pair = 0; pair < kPairs; ++pair) {
      std::memcpy(plane + pair * n + start, dealt + pair * kBlock, count * sizeof *dealt);
    }
  }
}

// The beats of each recording, in mV, as cut() has them; zeros elsewhere, and where a beat is not valid.
inline void cut_stored(const Stored &stored, float *tokens) {
  const int64_t leads = stored.leads, slots = stored.slots, width = stored.width, before = width / 2;
  int64_t longest = 0;
  for (int64_t b = 0; b < stored.count; ++b) {
    const int64_t n = stored.end[stored.row[b]] - stored.begin[stored.row[b]];
    longest = n > longest ? n : longest;
  }
  Scratch<int32_t> plane(leads * longest);
  Scratch<int64_t> first(slots), last(slots); // of each token's samples, and one past it
  for (int64_t b = 0; b < stored.count; ++b) {
    const int64_t record = stored.row[b], begin = stored.begin[record], n = stored.end[record] - begin;
    const int32_t *place = stored.place + record * slots;
    int64_t beats = 0, start = 0;
    for (; beats < slots && place[beats] >= 0; ++beats) {
      const int64_t r = place[beats], next = beats + 1 < slots ? place[beats + 1] : -1;
      const int64_t stop = next >= 0 ? (r + next + 1) / 2 : n;
      first[beats] = start > r - before ? start : r - before;
      last[beats] = stop < r - before + width ? stop : r - before + width;
      last[beats] = last[beats] < n ? last[beats] : n; // a damaged store gives zeros and no other memory
      start = stop;
    }
    deal_leads(stored.samples + (begin - stored.base) * leads, n, leads, plane.get());
    for (int64_t lead = 0; lead < leads; ++lead) {
      const bool paired = leads == kTwelve;
      const int up = paired && lead % 2 == 0 ? 16 : 0;
      const int32_t *row = plane.get() + (paired ? lead / 2 : lead) * n;
      const bool *valid = stored.valid + (record * leads + lead) * slots;
      float *token = tokens + (stored.target[b] * leads + lead) * slots * width;
      for (int64_t beat = 0; beat < beats; ++beat, token += width) {
        // Times nought where the beat is not valid: zeros keep the sign of their sample, as in PyTorch.
        const float factor = stored.gain[record * leads + lead] * (valid[beat] ? 1.0f : 0.0f);
        const int64_t from = first[beat], count = last[beat] - from, head = from - place[beat] + before;
        if (count <= 0) {
          std::memset(token, 0, width * sizeof *token);
          continue;
        }
        std::memset(token, 0, head * sizeof *token);
        for (int64_t i = 0; i < count; ++i) {
          const int32_t sample = static_cast<int32_t>(static_cast<uint32_t>(row[from + i]) << up) >> 16;
          token[head + i] = static_cast<float>(sample) * factor;
        }
        std::memset(token + head + count, 0, (width - head - count) * sizeof *token);
      }
      std::memset(token, 0, (slots - beats) * width * sizeof *token);
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
