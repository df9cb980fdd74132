// Software prefetch of the next heartbeat, or of the next task's first rows. They lie too far apart for the hardware to
// foresee, and asking for all of them at once would fill the miss buffers and stall the loads at hand; so every tile
// asks for a few cache lines.
#pragma once

#include "params.h"
#include "vec.h"

namespace clear_kernels {
namespace CK_ISA {

class Ahead {
public:
  void clear() { row_ = rows_ = byte_ = 0; }

  // Adds the rows that each of `readers` has at `leads` positions, `step` apart.
  template <class Reader, int READERS>
  void add(const Reader (&readers)[READERS], int64_t first, int64_t step, int64_t leads) {
    static_assert(READERS <= kMostReaders, "at_ is too short");
    for (int64_t i = 0; i < leads; ++i) {
      for (const Reader &reader : readers)
        at_[rows_++] = reinterpret_cast<const char *>(reader.address(first + i * step));
    }
    bytes_ = readers[0].row_bytes();
  }

  // Spreads what was added over `tiles` tiles.
  void spread(int64_t tiles) {
    const int64_t lines = rows_ * ((bytes_ + kLine - 1) / kLine);
    lines_per_tile_ = static_cast<int>(lines / (tiles + 1) + 1);
  }

  // Called once per tile.
  CK_INLINE void step() {
    for (int i = 0; i < lines_per_tile_ && row_ < rows_; ++i) {
      __builtin_prefetch(at_[row_] + byte_);
      byte_ += kLine;
      if (byte_ < bytes_) continue;
      byte_ = 0;
      ++row_;
    }
  }

private:
  static constexpr int kMostReaders = 5;
  static constexpr int64_t kLine = 64;

  const char *at_[2 * kMostReaders * kMaxGroup]; // a heartbeat and a set of class rows
  int rows_ = 0, row_ = 0, lines_per_tile_ = 0;
  int64_t bytes_ = 0, byte_ = 0;
};

} // namespace CK_ISA
} // namespace clear_kernels
