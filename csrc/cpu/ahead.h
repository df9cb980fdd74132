// Software prefetch of the rows that come next: those of the next head, the next heartbeat, or the next task. They lie
// too far apart for the hardware to foresee. Every step of the work at hand asks for a cache line or two, because a
// burst of requests stalls the loads at hand.
#pragma once

#include "task.h"

namespace clear_kernels {
namespace CK_ISA {

// Lines asked for in each innermost step of a product, each exponential, and each row of a class token. One line every
// few nanoseconds is what memory delivers: asked for faster, processors drop some; slower, the bus idles.
constexpr int kDotLines = CK_VECTOR_BYTES == 64 ? 3 : 1, kSumLines = 1, kPairLines = 1, kExpLines = 1, kRowLines = 2;

class Ahead {
public:
  void clear() { row_ = rows_ = 0, at_ = end_ = nullptr; }

  // Adds the rows that each of `readers` has at `leads` positions, `step` apart.
  template <class Reader, int READERS>
  void add(const Reader (&readers)[READERS], int64_t first, int64_t step, int64_t leads) {
    static_assert(READERS <= kMostReaders, "start_ is too short");
    for (const Reader &reader : readers) {
      for (int64_t i = 0; i < leads; ++i)
        start_[rows_++] = reinterpret_cast<const char *>(reader.address(first + i * step));
    }
    bytes_ = (readers[0].row_bytes() + kLine - 1) / kLine * kLine;
  }

  // Asks for the next line, if one is left.
  CK_INLINE void line() {
    if (at_ == end_) {
      if (row_ == rows_) return;
      at_ = start_[row_++];
      end_ = at_ + bytes_;
    }
    __builtin_prefetch(at_);
    at_ += kLine;
  }
  template <int COUNT> CK_INLINE void lines() {
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; ++i) line();
  }

private:
  static constexpr int kMostReaders = 5;
  static constexpr int64_t kLine = 64;

  const char *start_[2 * kMostReaders * kMaxGroup]; // a heartbeat and a set of class rows
  const char *at_ = nullptr, *end_ = nullptr;       // what is left of a row
  int rows_ = 0, row_ = 0;
  int64_t bytes_ = 0;
};

} // namespace CK_ISA
} // namespace clear_kernels
