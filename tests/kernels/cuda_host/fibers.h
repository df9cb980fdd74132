// Blocks and threads of a CUDA kernel on one CPU core, for tests: every thread of a block is a fiber that runs until
// it meets a barrier. A barrier that not all threads reach, or that they reach at different places in the source, is
// an error, not a hang. Results must not depend on the order in which threads run, so the order can be chosen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

namespace emulation {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

// Where a barrier stands in the source.
struct Site {
  const char *file;
  int line;
};

// 16 bytes on their way; zeros if there is no source.
struct AsyncCopy {
  void *target;
  const void *source;
};

// What a lane shows the others of its warp: two places in turn, so that the next may be filled while some still read.
constexpr size_t kPublishedBytes = 32;

struct Thread {
  Index3 index;
  alignas(8) unsigned char published[2][kPublishedBytes];
  int turn = 0;
  std::vector<std::vector<AsyncCopy>> copy_groups; // committed and not yet awaited, oldest first
  std::vector<AsyncCopy> open_copies;
};

// What the runtime API reports, and how threads are scheduled.
struct Device {
  int multiprocessors = 4;
  int shared_per_block = 227 * 1024;
  int shared_per_multiprocessor = 228 * 1024;
  int order = 0; // 0: ascending, 1: descending, 2: shuffled anew each time
};
Device &device();

Thread &self();
Index3 block_index();
unsigned char *dynamic_shared();

void block_barrier(Site site);
void warp_barrier(Site site);
const unsigned char *published_by(int lane, int turn); // by a lane of this warp

// What the hardware demands of an address; a violation makes the launch fail.
void require_aligned(const void *address, size_t alignment);

// Runs `body` once per thread. False, with a message in error(), if a thread did what it may not.
bool run_grid(unsigned blocks, unsigned threads, size_t shared_bytes, const std::function<void()> &body);
const char *error();

// All lanes of a warp show a value, then each computes from what it sees.
template <typename T, typename Read> auto warp_collective(Site site, const T &mine, Read read) {
  static_assert(sizeof(T) <= kPublishedBytes, "make the place larger");
  Thread &thread = self();
  const int turn = thread.turn;
  thread.turn = 1 - turn;
  std::memcpy(thread.published[turn], &mine, sizeof(T));
  warp_barrier(site);
  return read([turn](int lane) {
    T value;
    std::memcpy(&value, published_by(lane, turn), sizeof(T));
    return value;
  });
}

} // namespace emulation
