// A parallel loop over tasks whose results do not depend on which thread runs them.
#pragma once

#include <cstdint>
#include <functional>

namespace clear_kernels {

// Calls body(task, following, worker) once for each task in [0, tasks), with worker in [0, threads) and `following` the
// task that this worker runs next, or -1 while that is open. Blocks until all are done. `body` must not throw.
void parallel_for(int64_t tasks, int threads,
                  const std::function<void(int64_t task, int64_t following, int worker)> &body);

// "openmp" when the loop runs on the OpenMP team that is already in the process (torch's own), else "threads".
const char *parallel_runtime();

} // namespace clear_kernels
