// How a call is carried out: which kernels, how many warps and chunks, and how the workspace is laid out. A function of
// sizes, strides and the device alone, never of data, so the host never waits.
#pragma once

#include "kernels.h"

namespace clear_cuda {

// Byte offsets into the workspace; -1 for what is not needed.
struct WorkspaceLayout {
  int64_t slots = -1, counts = -1, delta = -1;
  int64_t class_max = -1, class_sum = -1, class_rows = -1;
  int64_t global_dk = -1, global_dv = -1;
  int64_t bytes = 0;
};

struct Plan {
  ClearEngine engine;
  ColumnsPlan columns;  // CLEAR_LOCAL and CLEAR_MIXED with tiles
  DensePlan dense;      // all forms but CLEAR_LOCAL with tiles
  ColumnsPlan head;     // short CLEAR_MIXED: whole heads, and none of the above
  int64_t list_samples; // slot lists: 0, 1 (shared by the batch) or B
  int64_t batch_step;   // samples per round, so that the float workspace of global keys stays small
  WorkspaceLayout workspace;
};

cudaError_t current_device(ClearDevice *device);
Plan make_plan(const ClearProblem &problem, bool backward, const ClearDevice &device);

// What a block takes with the dtype's kernels; of the dense ones, bytes of shared memory.
ColumnsCost columns_cost(const ClearProblem &problem, bool backward, int warps, bool aligned);
int64_t dense_bytes(const ClearProblem &problem, bool backward, int warps, int stages);
HeadCost head_cost(const ClearProblem &problem, bool backward);

} // namespace clear_cuda
