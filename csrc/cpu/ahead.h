// Software prefetch of the rows that come next: those of the next head, the next heartbeat, or the next task. They lie
// too far apart for the hardware to foresee. Every step of the work at hand asks for a cache line or two, because a
// burst of requests stalls the loads at hand.
#pragma once

#include "rows.h"
#include "task.h"

namespace clear_kernels {
namespace CK_ISA {

// Lines asked for in each innermost step of a product, each exponential, and each row of a class token. One line every
// few nanoseconds is what memory delivers: asked for faster, processors drop some; slower, the bus idles.
constexpr int kDotLines = CK_VECTOR_BYTES == 64 ? 3 : 1, kSumLines = 1, kPairLines = 1, kExpLines = 1, kRowLines = 2;

class Ahead {
public:
  // Names the rows of `inputs` that come after those of one head in one heartbeat: the next head's, the next
  // heartbeat's, or the first ones of the task `following` (-1: none).
  template <class T, int INPUTS>
  void name(const Problem &p, const Tensor (&inputs)[INPUTS], const TaskRange &here, int64_t head, int64_t group,
            int64_t following) {
    row_ = rows_ = 0, at_ = end_ = nullptr;
    if (!p.grid() || p.all_visible) return;
    const bool same = head + 1 < here.heads;
    const int64_t next = same ? group : group + 1;
    if (next < here.last_group) {
      add<T>(p, inputs, here.batch, here.first_head + (same ? head + 1 : 0), p.leads + next, p.beats);
    } else if (following >= 0) {
      const TaskRange to = task_range(p, following);
      add<T>(p, inputs, to.batch, to.first_head, 0, 1);
      add<T>(p, inputs, to.batch, to.first_head, p.leads + to.first_group, p.beats);
    }
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
  static constexpr int kMostInputs = 5;
  static constexpr int64_t kLine = 64;

  // Adds the row of each lead: at `first`, `step` apart.
  template <class T, int INPUTS>
  void add(const Problem &p, const Tensor (&inputs)[INPUTS], int64_t batch, int64_t head, int64_t first, int64_t step) {
    static_assert(INPUTS <= kMostInputs, "start_ is too short");
    for (const Tensor &input : inputs) {
      const RowReader<T> reader(p, input, batch, head);
      for (int64_t i = 0; i < p.leads; ++i)
        start_[rows_++] = reinterpret_cast<const char *>(reader.address(first + i * step));
      bytes_ = (reader.row_bytes() + kLine - 1) / kLine * kLine;
    }
  }

  const char *start_[2 * kMostInputs * kMaxGroup]; // a heartbeat and a set of class rows
  const char *at_ = nullptr, *end_ = nullptr;      // what is left of a row
  int rows_ = 0, row_ = 0;
  int64_t bytes_ = 0;
};

} // namespace CK_ISA
} // namespace clear_kernels
