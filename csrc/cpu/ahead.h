// Software prefetch of the rows that come next. They lie too far apart for the hardware to foresee. Every step of the
// work at hand asks for a cache line or two, because a burst of requests stalls the loads at hand.
//
// What is asked for is a matter of the processor (Problem::whole_heartbeats): the rows of the next head, into the first
// level of the caches; or those of all heads in the next heartbeat, token by token as they lie in memory, into the
// second level, from where the next head's are brought near while this one's are read.
#pragma once

#include "rows.h"
#include "task.h"

namespace clear_kernels {
namespace CK_ISA {

// Lines asked for in each innermost step of a product (of a vector of each row; every second one where rows meet in
// pairs), each exponential, and each row of a class token. One line every few nanoseconds is what memory delivers:
// asked for faster, processors drop some; slower, the bus idles.
struct Pace {
  int dot, sum, pair, exp, row;
};
constexpr bool kWide = CK_VECTOR_BYTES == 64;
constexpr Pace kByHead = {kWide ? 3 : 1, 1, 1, 1, 2}, kByHeartbeat = {kWide ? 2 : 1, 1, 2, 2, 4};

class Ahead {
public:
  // Names the rows of `inputs` that come after those of one head in one heartbeat: the next head's, the next
  // heartbeat's, or the first ones of the task `following` (-1: none).
  template <class T, int INPUTS>
  void name(const Problem &p, const Tensor (&inputs)[INPUTS], const TaskRange &here, int64_t head, int64_t group,
            int64_t following) {
    const bool same = head + 1 < here.heads;
    near_ = p.whole_heartbeats && same && rows_are_direct<T>(p) ? p.dim : 0;
    if (p.whole_heartbeats && head > 0) {
      catch_up(rows_ * head / here.heads);
      return;
    }
    whole_ = p.whole_heartbeats;
    row_ = rows_ = 0, at_ = end_ = nullptr;
    if (!p.grid() || p.all_visible) return;
    const int64_t next = same && !whole_ ? group : group + 1;
    if (next < here.last_group) {
      add<T>(p, inputs, here, same && !whole_ ? head + 1 : 0, p.leads + next, p.beats);
    } else if (following >= 0) {
      const TaskRange to = task_range(p, following);
      add<T>(p, inputs, to, 0, 0, 1);
      add<T>(p, inputs, to, 0, p.leads + to.first_group, p.beats);
    }
    if (whole_) walk_pages();
  }

  // Asks for the lines of one step, if some are left.
  template <int Pace::*STEP> CK_INLINE void lines() {
    if (whole_) {
      ask<kByHeartbeat.*STEP, kSecondLevel>();
    } else {
      ask<kByHead.*STEP, kFirstLevel>();
    }
  }

  // Brings near what the next head needs where this one needs a vector of each row, if that is worth while.
  CK_INLINE bool has_near() const { return near_ != 0; }
  template <class C, int ROWS> CK_INLINE void near(const C *const *rows, int64_t d) const {
    if (d * static_cast<int64_t>(sizeof(C)) % kLine != 0) return;
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) __builtin_prefetch(rows[r] + d + near_);
  }

private:
  static constexpr int kMostInputs = 5;
  static constexpr int64_t kLine = 64;
  static constexpr int kFirstLevel = 3, kSecondLevel = 2; // of the caches, for __builtin_prefetch

  // Adds the row of each lead: at `first`, `step` apart.
  template <class T, int INPUTS>
  void add(const Problem &p, const Tensor (&inputs)[INPUTS], const TaskRange &of, int64_t head, int64_t first,
           int64_t step) {
    static_assert(INPUTS <= kMostInputs, "start_ is too short");
    for (int x = 0; x < INPUTS; ++x) {
      const RowReader<T> reader(p, inputs[x], of.batch, of.first_head + head);
      for (int64_t i = 0; i < p.leads; ++i) {
        const int64_t place = whole_ ? i * INPUTS + x : x * p.leads + i;
        start_[rows_ + place] = reinterpret_cast<const char *>(reader.address(first + i * step));
      }
      bytes_ = ((whole_ ? of.heads : 1) * reader.row_bytes() + kLine - 1) / kLine * kLine;
    }
    rows_ += INPUTS * static_cast<int>(p.leads);
  }

  template <int COUNT, int LEVEL> CK_INLINE void ask() {
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; ++i) {
      if (at_ == end_) {
        if (row_ == rows_) return;
        at_ = start_[row_++];
        end_ = at_ + bytes_;
      }
      __builtin_prefetch(at_, 0, LEVEL);
      at_ += kLine;
    }
  }

  // A page's first access walks the page table, and the instructions behind it wait. Asked for together, several walks
  // go on at a time.
  void walk_pages() const {
    for (int i = 0; i < rows_; ++i) {
      __builtin_prefetch(start_[i], 0, kSecondLevel);
      __builtin_prefetch(start_[i] + bytes_ - 1, 0, kSecondLevel);
    }
  }

  // Where the work had fewer steps than there are lines.
  void catch_up(int64_t due) {
    while (row_ < due) ask<1, kSecondLevel>();
  }

  const char *start_[2 * kMostInputs * kMaxGroup]; // a heartbeat and a set of class rows
  const char *at_ = nullptr, *end_ = nullptr;      // what is left of a row
  int rows_ = 0, row_ = 0;
  int64_t bytes_ = 0, near_ = 0;
  bool whole_ = false;
};

} // namespace CK_ISA
} // namespace clear_kernels
