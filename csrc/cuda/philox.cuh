// Attention dropout by counters: Philox 4x32-10 of (seed; key, query, batch * H + head), so that every backend drops
// the same entries, forward and backward, whatever the order of work.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include "api.h"
#include "numeric.cuh"

namespace clear_cuda {

// First of the four output words.
__device__ inline uint32_t philox_word(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint32_t low0 = 0xD2511F53u * c0, high0 = __umulhi(0xD2511F53u, c0);
    const uint32_t low1 = 0xCD9E8D57u * c2, high1 = __umulhi(0xCD9E8D57u, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c0;
}

// Positions of a query and a key.
struct Entry {
  int64_t query, key;
};

// The dropout of one (batch, head). Nothing but the place is kept: the rest is read where it is needed, so that calls
// without dropout do not pay for it in registers.
template <typename A> struct Dropout {
  const ClearProblem &p;
  int64_t batch, head;

  __device__ bool on() const { return p.seed != nullptr; }

  // One bit per entry, set if it is kept; entry_of(i) is the (query, key) of entry i < kCount <= 32. A loop rather than
  // straight code: the generator is long and the entries are many. Only to be called when on().
  template <int kCount, typename EntryOf> __device__ __forceinline__ uint32_t bits(EntryOf entry_of) const {
    const uint64_t seed = static_cast<uint64_t>(*p.seed);
    const uint64_t row = static_cast<uint64_t>((batch + p.batch_first) * p.heads + head);
    uint32_t kept = 0;
#pragma unroll 1
    for (int i = 0; i < kCount; ++i) {
      const Entry entry = entry_of(i);
      const uint32_t word =
          philox_word(static_cast<uint32_t>(entry.key), static_cast<uint32_t>(entry.query), static_cast<uint32_t>(row),
                      static_cast<uint32_t>(row >> 32), static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
      kept |= word >= p.drop_below ? 1u << i : 0u;
    }
    return kept;
  }
  __device__ A factor(uint32_t bits, int i) const {
    return (bits >> i & 1u) != 0 ? static_cast<A>(p.keep_scale) : A(0);
  }

  // Factor of the probability that query gives to key: 1 without dropout, else 0 or 1 / (1 - p).
  __device__ A of(int64_t query, int64_t key) const {
    return on() ? factor(bits<1>([&](int) { return Entry{query, key}; }), 0) : A(1);
  }
};

// Multiplies the entries that a lane holds of a row of tiles; bit 8 n + 4 h + e is for s[n][h][e].
template <int kTiles>
__device__ __forceinline__ void drop(float (&s)[kTiles][2][4], const Dropout<float> &dropout, uint32_t bits) {
  const float keep_scale = dropout.factor(1u, 0);
#pragma unroll
  for (int i = 0; i < 8 * kTiles; ++i) {
    float &x = s[i / 8][i / 4 % 2][i % 4];
    x = (bits >> i & 1u) != 0 ? x * keep_scale : 0.0f;
  }
}

} // namespace clear_cuda
