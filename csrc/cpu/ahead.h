// Software prefetch of the next heartbeat. Its rows lie one lead apart, too far for the hardware to foresee, and asking
// for all of them at once would fill the miss buffers and stall the loads at hand; so every tile asks for a few.
#pragma once

#include "params.h"
#include "vec.h"

namespace clear_kernels {
namespace CK_ISA {

class Ahead {
public:
  void clear() { next_ = count_ = 0; }

  // Starts a list of the rows that each of `readers` has at `leads` positions, `step` apart, to be spread over `tiles`
  // tiles.
  template <class Reader, int READERS>
  void start(const Reader *const (&readers)[READERS], int64_t first, int64_t step, int64_t leads, int64_t tiles) {
    int count = 0;
    for (int64_t i = 0; i < leads; ++i) {
      for (const Reader *reader : readers)
        rows_[count++] = reinterpret_cast<const char *>(reader->address(first + i * step));
    }
    next_ = 0;
    count_ = count;
    bytes_ = readers[0]->row_bytes();
    pace_ = static_cast<int>(count / (tiles + 1) + 1);
  }

  // Called once per tile.
  CK_INLINE void step() {
    for (int i = 0; i < pace_ && next_ < count_; ++i) {
      const char *row = rows_[next_++];
      for (int64_t byte = 0; byte < bytes_; byte += 64) __builtin_prefetch(row + byte);
    }
  }

private:
  const char *rows_[6 * kMaxGroup];
  int count_ = 0, next_ = 0, pace_ = 0;
  int64_t bytes_ = 0;
};

} // namespace CK_ISA
} // namespace clear_kernels
