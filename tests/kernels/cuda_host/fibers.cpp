#include "fibers.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {
namespace {

constexpr size_t kStackBytes = 256 * 1024;
constexpr size_t kSharedBytes = 256 * 1024;
enum class State { kReady, kAtWarpBarrier, kAtBlockBarrier, kDone };

#if defined(__x86_64__)
// Saves the registers a called function must preserve, and continues where the other stack was left.
extern "C" void emulation_switch(void **save, void *load);
asm(R"(
.text
.globl emulation_switch
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#endif

struct Fiber {
  Thread thread;
  State state = State::kReady;
  Site site{"", 0};
  std::unique_ptr<unsigned char[]> stack{new unsigned char[kStackBytes]};
#if defined(__x86_64__)
  void *context = nullptr;
#else
  ucontext_t context;
#endif
};

struct Scheduler {
  std::vector<std::unique_ptr<Fiber>> fibers;
  Fiber *current = nullptr;
  const std::function<void()> *body = nullptr;
  Index3 block;
  std::mt19937 shuffle{1};
  std::vector<unsigned> blocks, warps, lanes;
  std::string error;
#if defined(__x86_64__)
  void *context = nullptr;
#else
  ucontext_t context;
#endif
  const void *main_stack = nullptr; // for the address sanitizer
  size_t main_stack_bytes = 0;
};

Scheduler scheduler;
alignas(128) unsigned char shared_memory[kSharedBytes];

void enter_fiber(Fiber &fiber) {
  scheduler.current = &fiber;
#if defined(__SANITIZE_ADDRESS__)
  void *fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), kStackBytes);
#endif
#if defined(__x86_64__)
  emulation_switch(&scheduler.context, fiber.context);
#else
  swapcontext(&scheduler.context, &fiber.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void leave_fiber() {
  Fiber &fiber = *scheduler.current;
#if defined(__SANITIZE_ADDRESS__)
  void *fake = nullptr;
  __sanitizer_start_switch_fiber(fiber.state == State::kDone ? nullptr : &fake, scheduler.main_stack,
                                 scheduler.main_stack_bytes);
#endif
#if defined(__x86_64__)
  emulation_switch(&fiber.context, scheduler.context);
#else
  swapcontext(&fiber.context, &scheduler.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler.main_stack, &scheduler.main_stack_bytes);
#endif
  (*scheduler.body)();
  scheduler.current->state = State::kDone;
  leave_fiber();
}

void prepare(Fiber &fiber, unsigned index) {
  fiber.thread = Thread{};
  fiber.thread.index.x = index;
  fiber.state = State::kReady;
#if defined(__x86_64__)
  auto top = reinterpret_cast<uintptr_t>(fiber.stack.get() + kStackBytes) & ~uintptr_t{63};
  auto *frame = reinterpret_cast<void **>(top) - 8; // six registers, the entry, and the slot of a return address
  std::fill(frame, frame + 8, nullptr);
  frame[6] = reinterpret_cast<void *>(&fiber_main);
  fiber.context = frame;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
#endif
}

bool same_site(const Site &a, const Site &b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

// Lets the fibers [first, last) go on if all of them wait at one barrier of this kind.
bool release(size_t first, size_t last, State kind) {
  for (size_t i = first; i < last; ++i) {
    const Fiber &fiber = *scheduler.fibers[i];
    if (fiber.state != kind || !same_site(fiber.site, scheduler.fibers[first]->site)) return false;
  }
  for (size_t i = first; i < last; ++i) scheduler.fibers[i]->state = State::kReady;
  return true;
}

// Puts 0 .. count - 1 in the order of the device's setting.
void arrange(std::vector<unsigned> &order, unsigned count) {
  order.resize(count);
  std::iota(order.begin(), order.end(), 0u);
  if (device().order == 1) std::reverse(order.begin(), order.end());
  if (device().order == 2) std::shuffle(order.begin(), order.end(), scheduler.shuffle);
}

// Runs the threads of a warp until they wait at a barrier of the block, have returned, or wait in vain.
void run_warp(unsigned first) {
  std::vector<unsigned> &lanes = scheduler.lanes;
  arrange(lanes, 32);
  do {
    if (device().order == 2) std::shuffle(lanes.begin(), lanes.end(), scheduler.shuffle);
    for (unsigned lane : lanes) {
      Fiber &fiber = *scheduler.fibers[first + lane];
      if (fiber.state == State::kReady) enter_fiber(fiber);
    }
  } while (release(first, first + 32, State::kAtWarpBarrier));
}

bool diverged(unsigned threads) {
  scheduler.error = "block " + std::to_string(scheduler.block.x) + ": threads wait for each other in vain:";
  for (unsigned i = 0; i < threads; ++i) {
    const Fiber &fiber = *scheduler.fibers[i];
    scheduler.error += " [" + std::to_string(i) + "] ";
    scheduler.error += fiber.state == State::kDone
                           ? std::string("returned")
                           : std::string(fiber.site.file) + ":" + std::to_string(fiber.site.line);
  }
  return false;
}

bool run_block(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) prepare(*scheduler.fibers[i], i);
  do {
    arrange(scheduler.warps, threads / 32);
    for (unsigned warp : scheduler.warps) run_warp(32 * warp);
  } while (release(0, threads, State::kAtBlockBarrier));
  for (unsigned i = 0; i < threads; ++i) {
    const Fiber &fiber = *scheduler.fibers[i];
    if (fiber.state != State::kDone) return diverged(threads);
    if (!fiber.thread.copy_groups.empty() || !fiber.thread.open_copies.empty()) {
      scheduler.error = "a thread returned with asynchronous copies under way";
      return false;
    }
  }
  return true;
}

void wait_at(State kind, Site site) {
  scheduler.current->state = kind;
  scheduler.current->site = site;
  leave_fiber();
}

} // namespace

Device &device() {
  static Device instance;
  return instance;
}

Thread &self() { return scheduler.current->thread; }
Index3 block_index() { return scheduler.block; }
unsigned char *dynamic_shared() { return shared_memory; }
void block_barrier(Site site) { wait_at(State::kAtBlockBarrier, site); }
void warp_barrier(Site site) { wait_at(State::kAtWarpBarrier, site); }
const char *error() { return scheduler.error.c_str(); }

void require_aligned(const void *address, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(address) % alignment == 0 || !scheduler.error.empty()) return;
  scheduler.error = "an address is not a multiple of " + std::to_string(alignment);
}

const unsigned char *published_by(int lane, int turn) {
  const unsigned warp = self().index.x & ~31u;
  return scheduler.fibers[warp + static_cast<unsigned>(lane)]->thread.published[turn];
}

bool run_grid(unsigned blocks, unsigned threads, size_t shared_bytes, const std::function<void()> &body) {
  scheduler.error.clear();
  if (threads % 32 != 0 || shared_bytes > kSharedBytes) {
    scheduler.error = "a block needs whole warps and at most 256 KiB of shared memory";
    return false;
  }
  while (scheduler.fibers.size() < threads) scheduler.fibers.push_back(std::make_unique<Fiber>());
  scheduler.body = &body;
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(shared_memory + shared_bytes, kSharedBytes - shared_bytes);
#endif
  bool fine = true;
  arrange(scheduler.blocks, blocks);
  for (unsigned block : scheduler.blocks) {
    std::memset(shared_memory, 0xff, shared_bytes); // NaN in every floating type
    scheduler.block.x = block;
    fine = run_block(threads) && scheduler.error.empty();
    if (!fine) break;
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(shared_memory, kSharedBytes);
#endif
  return fine;
}

} // namespace emulation
