// Attention dropout: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// Key: the seed. Counter: (key position, query position, batch * heads + head). Word 0 decides.
#pragma once

#include "vec.h"

namespace clear_kernels {
namespace CK_ISA {

struct Philox {
  uint32_t seed_lo, seed_hi;
  uint32_t head_lo, head_hi;
  uint32_t threshold; // 0: nothing is dropped

  bool active() const { return threshold != 0; }

  Philox() = default;
  Philox(uint64_t seed, uint64_t batch_head, uint32_t drop_below)
      : seed_lo(static_cast<uint32_t>(seed)), seed_hi(static_cast<uint32_t>(seed >> 32)),
        head_lo(static_cast<uint32_t>(batch_head)), head_hi(static_cast<uint32_t>(batch_head >> 32)),
        threshold(drop_below) {}

  CK_INLINE bool keeps(uint32_t query, uint32_t key) const {
    uint32_t c0 = key, c1 = query, c2 = head_lo, c3 = head_hi;
    uint32_t k0 = seed_lo, k1 = seed_hi;
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
      const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c1 = static_cast<uint32_t>(p1);
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c3 = static_cast<uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return c0 >= threshold;
  }

  // p[r] *= kept ? gain : 0 for the queries at positions[r] and one key.
  template <class C> void apply(const int64_t *positions, int64_t queries, int64_t key, C gain, C *p) const {
    for (int64_t r = 0; r < queries; ++r) {
      const bool kept = keeps(static_cast<uint32_t>(positions[r]), static_cast<uint32_t>(key));
      p[r] = kept ? p[r] * gain : C(0);
    }
  }

  // The factor of a single entry.
  template <class C> C factor(int64_t query, int64_t key, C gain) const {
    if (!active()) return C(1);
    return keeps(static_cast<uint32_t>(query), static_cast<uint32_t>(key)) ? gain : C(0);
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
