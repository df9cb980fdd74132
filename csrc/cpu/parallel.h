// A parallel loop over tasks whose results do not depend on which thread runs them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace clear_kernels {

// Hands one worker its tasks, in runs of consecutive ones drawn from what is left for all workers.
class Tasks {
public:
  Tasks(std::atomic<int64_t> &left_from, int64_t count, int64_t run)
      : left_from_(left_from), count_(count), run_(run) {}
  // The task that comes after the one at hand, or -1. Asking settles it, so ask late: until then anybody may take it.
  int64_t following();
  // The same, and moves on to it.
  int64_t take();

private:
  std::atomic<int64_t> &left_from_;
  int64_t count_, run_, next_ = 0, last_ = 0; // of the run
};

// Calls body(task, tasks, worker) once for each task in [0, count), with worker in [0, threads); tasks.following() is
// what this worker runs next. Blocks until all are done. `body` must not throw.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t task, Tasks &tasks, int worker)> &body);

// "openmp" when the loop runs on the OpenMP team that is already in the process (torch's own), else "threads".
const char *parallel_runtime();

} // namespace clear_kernels
