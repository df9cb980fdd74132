// Launches the head and packed kernels of one element type; included once per type.
#pragma once

#include "head_backward.cuh"
#include "head_forward.cuh"
#include "kernels.h"
#include "launch.cuh"
#include "packed_backward.cuh"
#include "packed_forward.cuh"

namespace clear_cuda {

template <typename T, int kDim> HeadKernel head_kernel_of(const ClearProblem &p, bool backward) {
  Carver carver = Carver::nowhere();
  const bool dropout = p.seed != nullptr;
  if (backward) {
    HeadShared<T, kDim, true>(carver, static_cast<int>(p.beats));
    return {dropout ? head_backward<T, kDim, true> : head_backward<T, kDim, false>,
            {carver.used, kHeadWarps<kDim, true>}};
  }
  HeadShared<T, kDim, false>(carver, static_cast<int>(p.beats));
  return {dropout ? head_forward<T, kDim, true> : head_forward<T, kDim, false>, {carver.used, kHeadWarps<kDim, false>}};
}

template <typename T, int kDim> HeadKernel packed_kernel_of(const ClearProblem &p, bool backward) {
  Carver carver = Carver::nowhere();
  const int tiles = static_cast<int>((token_count(p) + kTileRows - 1) / kTileRows);
  if (backward) {
    PackedShared<T, kDim, 4>(carver, tiles);
    return {packed_backward<T, kDim>, {carver.used, tiles}};
  }
  PackedShared<T, kDim, 3>(carver, tiles);
  return {packed_forward<T, kDim>, {carver.used, tiles}};
}

// The kernel of a problem whose tensors are aligned; none if there is none.
template <typename T> HeadKernel head_kernel(const ClearProblem &p, bool backward) {
  if (p.form == CLEAR_MIXED && p.leads == kUsualLeads) {
    if (p.dim == 32) return head_kernel_of<T, 32>(p, backward);
    if (p.dim == 64) return head_kernel_of<T, 64>(p, backward);
  }
  if (p.form == CLEAR_PACKED && p.leads <= kPackedLeads && token_count(p) <= kPackedTokens) {
    if (p.dim == 64) return packed_kernel_of<T, 64>(p, backward);
    if (p.dim == 96) return packed_kernel_of<T, 96>(p, backward);
  }
  return {};
}

template <typename T> HeadCost head_cost(const ClearProblem &p, bool backward) {
  return head_kernel<T>(p, backward).cost;
}

template <typename T> cudaError_t run_head(const ColumnsArguments &args, bool backward, cudaStream_t stream) {
  const ClearProblem &p = args.problem;
  const HeadKernel kernel = head_kernel<T>(p, backward);
  return launch(kernel.run, p.batch * p.heads, 32 * args.plan.warps, kernel.cost.shared_bytes, stream, args);
}

} // namespace clear_cuda
