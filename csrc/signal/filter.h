// FIR filters with a change of rate. The samples are dealt out so that those of consecutive outputs are neighbours, and
// every lane of a vector is an output of its own, which adds its products in the order of the taps.
#pragma once

#include "deal.h"
#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

constexpr int64_t kFilterBlock = 64; // outputs at a time, in registers

// The sample at a place that may lie beyond the ends of a row.
CK_INLINE float beyond(const float *row, int64_t n, Ends ends, int64_t at) {
  if (at >= 0 && at < n) return row[at];
  const bool before = at < 0;
  const int64_t away = before ? -at : at - (n - 1);
  const float end = before ? row[0] : row[n - 1];
  switch (ends) {
  case Ends::kHold:
    return end;
  case Ends::kLine: {
    const float slope = (row[n - 1] - row[0]) / static_cast<float>(n > 1 ? n - 1 : 1);
    return end + slope * static_cast<float>(before ? -away : away);
  }
  case Ends::kMirror: {
    const int64_t inside = away < n ? away : n - 1;
    return 2.0f * end - row[before ? inside : n - 1 - inside];
  }
  default:
    return 0.0f;
  }
}

// Samples are read from any place, and half as many vectors of half the size lie across two cache lines.
constexpr int kNarrow = kLanes<float> > 8 ? 8 : kLanes<float>;
typedef float Narrow __attribute__((vector_size(4 * kNarrow)));
typedef float LooseNarrow __attribute__((vector_size(4 * kNarrow), aligned(4), may_alias));

// Outputs of TOGETHER stretches, so many that additions do not wait for each other. The samples at[k], at[k] + 1, ...
// of each are those of tap k.
template <int64_t OUTPUTS, int TOGETHER>
CK_INLINE void filter_block(const float *const *dealt, const int64_t *at, const float *taps, int64_t count,
                            float (*out)[OUTPUTS]) {
  constexpr int kVectors = OUTPUTS / kNarrow;
  Narrow sums[TOGETHER][kVectors] = {};
  for (int64_t k = 0; k < count; ++k) {
    const Narrow tap = taps[k] - Narrow{};
    for (int t = 0; t < TOGETHER; ++t) {
      const float *samples = dealt[t] + at[k];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sums[t][v] += tap * *reinterpret_cast<const LooseNarrow *>(samples + v * kNarrow);
      }
    }
  }
  for (int t = 0; t < TOGETHER; ++t) {
    for (int v = 0; v < kVectors; ++v) *reinterpret_cast<LooseNarrow *>(out[t] + v * kNarrow) = sums[t][v];
  }
}

// A filter made ready for rows of a certain length: `n` samples, with kGiven between those that go beyond.
class RowFilter {
public:
  RowFilter(const Filter &filter, Ends ends, int64_t n)
      : f_(filter), ends_(ends), n_(n), padded_(n + 2 * filter.reach),
        wanted_((n * filter.up + filter.down - 1) / filter.down),
        share_((padded_ + filter.down - 1) / filter.down + kFilterBlock), whole_(padded_), dealt_(filter.down * share_),
        taps_(filter.up * (2 * filter.reach + 1)), at_(filter.up * (2 * filter.reach + 1)), used_(filter.up) {
    for (int64_t i = 0; i < f_.down * share_; ++i) dealt_[i] = 0.0f; // blocks read beyond the samples
    const int64_t width = 2 * f_.reach + 1;
    for (int64_t j = 0; j < f_.up; ++j) { // outputs j, j + up, j + 2 up, ...
      const float *all = f_.taps + j * f_.down % f_.up * width;
      const int64_t start = j * f_.down / f_.up, first = start % f_.down;
      int64_t used = j * width, share = first, place = start / f_.down;
      for (int64_t k = 0; k < width; ++k) {
        taps_[used] = all[k];
        at_[used] = share * share_ + place;
        used += all[k] != 0.0f; // no time for zeros
        if (++share == f_.down) share = 0, ++place;
      }
      used_[j] = used - j * width;
    }
  }

  int64_t outputs() const { return wanted_; }

  // `row` begins at the first of its samples.
  void operator()(const float *row, float *out) const {
    const int64_t reach = f_.reach, width = 2 * reach + 1;
    float *line = f_.down == 1 ? dealt_.get() : whole_.get();
    if (ends_ == Ends::kGiven) {
      std::memcpy(line, row - reach, padded_ * sizeof(float));
    } else {
      std::memcpy(line + reach, row, n_ * sizeof(float));
      for (int64_t i = 0; i < reach; ++i) {
        line[i] = beyond(row, n_, ends_, i - reach);
        line[reach + n_ + i] = beyond(row, n_, ends_, n_ + i);
      }
    }
    if (f_.down > 1) deal(line, padded_, f_.down, share_, dealt_.get());
    float block[1][kFilterBlock];
    for (int64_t j = 0; j < f_.up && j < wanted_; ++j) {
      const int64_t count = (wanted_ - j + f_.up - 1) / f_.up;
      for (int64_t q = 0; q < count; q += kFilterBlock) {
        const float *samples = dealt_.get() + q;
        filter_block<kFilterBlock, 1>(&samples, at_.get() + j * width, taps_.get() + j * width, used_[j], block);
        const int64_t here = count - q < kFilterBlock ? count - q : kFilterBlock;
        float *to = out + j + q * f_.up;
        for (int64_t i = 0; i < here; ++i) to[i * f_.up] = block[0][i];
      }
    }
  }

private:
  const Filter f_;
  const Ends ends_;
  const int64_t n_, padded_, wanted_, share_;
  const Scratch<float> whole_, dealt_, taps_;
  const Scratch<int64_t> at_, used_;
};

inline void filter(const Filter &f, Ends ends, const float *rows, int64_t leads, int64_t n, float *out) {
  const RowFilter row_filter(f, ends, n);
  const int64_t beyond_ends = ends == Ends::kGiven ? f.reach : 0;
  for (int64_t lead = 0; lead < leads; ++lead) {
    row_filter(rows + lead * (n + 2 * beyond_ends) + beyond_ends, out + lead * row_filter.outputs());
  }
}

// Outputs [leads][windows][count] of a filter that keeps the rate, from starts[window] on, which may lie anywhere.
inline void filter_around(const Filter &f, Ends ends, const float *rows, int64_t leads, int64_t n,
                          const int64_t *starts, int64_t windows, int64_t count, float *out) {
  constexpr int64_t kOutputs = kFilterBlock / 2;
  constexpr int kTogether = 2;
  const int64_t width = 2 * f.reach + 1, used = count + 2 * f.reach, span = used + kOutputs; // read by the last block
  const int64_t all = leads * windows;
  Scratch<float> held(kTogether * span);
  Scratch<int64_t> at(width);
  for (int64_t k = 0; k < width; ++k) at[k] = k;
  float block[kTogether][kOutputs];
  for (int64_t start = 0; start < all; start += kTogether) {
    const float *from[kTogether];
    for (int t = 0; t < kTogether; ++t) {
      const int64_t mine = start + t < all ? start + t : all - 1, first = starts[mine % windows] - f.reach;
      const float *row = rows + mine / windows * n;
      float *own = held.get() + t * span;
      if (first >= 0 && first + span <= n) {
        from[t] = row + first;
        continue;
      }
      for (int64_t i = 0; i < used; ++i) own[i] = beyond(row, n, ends, first + i);
      for (int64_t i = used; i < span; ++i) own[i] = 0.0f;
      from[t] = own;
    }
    for (int64_t q = 0; q < count; q += kOutputs) {
      filter_block<kOutputs, kTogether>(from, at.get(), f.taps, width, block);
      const int64_t here = count - q < kOutputs ? count - q : kOutputs;
      for (int t = 0; t < kTogether; ++t) {
        if (start + t < all) std::memcpy(out + (start + t) * count + q, block[t], here * sizeof(float));
        from[t] += kOutputs;
      }
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
