// The kernels' own source as a C++ library for tests, with a C interface for ctypes.
#include "api.h"
#include "fibers.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// The device that the runtime API shall report, and the order in which threads run.
EXPORT void emulation_device(int multiprocessors, int shared_per_block, int shared_per_multiprocessor, int order) {
  emulation::device() = {multiprocessors, shared_per_block, shared_per_multiprocessor, order};
}
EXPORT const char *emulation_error() { return emulation::error(); }

EXPORT int emulated_plan(const ClearProblem *problem, int backward, const ClearDevice *device, ClearPlan *plan) {
  return clear_cuda_plan(problem, backward, device, plan);
}
EXPORT int emulated_forward(const ClearProblem *problem, const ClearLaunch *launch) {
  return clear_cuda_forward(problem, launch);
}
EXPORT int emulated_backward(const ClearProblem *problem, const ClearLaunch *launch) {
  return clear_cuda_backward(problem, launch);
}
