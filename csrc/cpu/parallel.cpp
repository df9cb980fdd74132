#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#endif

namespace clear_kernels {
namespace {

struct Loop {
  const std::function<void(int64_t, Tasks &, int)> &body;
  int64_t count, run;
  std::atomic<int64_t> next_task{0};
  std::atomic<int> next_worker{0};

  void work() {
    const int worker = next_worker.fetch_add(1, std::memory_order_relaxed);
    Tasks tasks(next_task, count, run);
    for (int64_t task = tasks.take(); task >= 0; task = tasks.take()) body(task, tasks, worker);
  }
};

// torch keeps a team of OpenMP threads that spin for a while after each of its own loops. A second pool would fight
// them for the cores, so the same team is used: its entry point is looked up in the process, never linked.
using OpenMpParallel = void (*)(void (*)(void *), void *, unsigned, unsigned);

OpenMpParallel find_openmp() {
#if defined(__unix__) || defined(__APPLE__)
  return reinterpret_cast<OpenMpParallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
#else
  return nullptr;
#endif
}

void run_loop(void *loop) { static_cast<Loop *>(loop)->work(); }

void run_on_threads(Loop &loop, int threads) {
  std::vector<std::thread> others;
  try {
    for (int i = 1; i < threads; ++i) others.emplace_back([&loop] { loop.work(); });
  } catch (const std::system_error &) {
    // The system grants no more threads: those there are do all the work.
  }
  loop.work();
  for (std::thread &thread : others) thread.join();
}

} // namespace

int64_t Tasks::following() {
  if (next_ == last_) {
    next_ = std::min(left_from_.fetch_add(run_, std::memory_order_relaxed), count_);
    last_ = std::min(next_ + run_, count_);
  }
  return next_ < last_ ? next_ : -1;
}

int64_t Tasks::take() {
  const int64_t task = following();
  if (task >= 0) ++next_;
  return task;
}

void parallel_for(int64_t count, int threads, const std::function<void(int64_t, Tasks &, int)> &body) {
  // Tasks of a run are neighbours in memory; eight runs or more for each worker even out their speeds.
  constexpr int64_t kRunsPerWorker = 8, kLongestRun = 8;
  if (threads > count) threads = static_cast<int>(count);
  Loop loop{body, count, std::clamp<int64_t>(count / (kRunsPerWorker * std::max(threads, 1)), 1, kLongestRun)};
  if (threads <= 1) {
    loop.work();
  } else if (const OpenMpParallel parallel = find_openmp()) {
    parallel(run_loop, &loop, static_cast<unsigned>(threads), 0);
  } else {
    run_on_threads(loop, threads);
  }
}

const char *parallel_runtime() { return find_openmp() != nullptr ? "openmp" : "threads"; }

} // namespace clear_kernels
