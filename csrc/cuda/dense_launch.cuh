// Launches the dense kernels of one element type; included once per type.
#pragma once

#include "dense_backward.cuh"
#include "dense_forward.cuh"
#include "kernels.h"
#include "launch.cuh"

namespace clear_cuda {

template <typename Tile> int64_t dense_shared_bytes(const ClearProblem &p, bool backward, int warps, int stages) {
  const TileShape shape = tile_shape<Tile>(p.dim, true);
  Carver carver = Carver::nowhere();
  if (backward) {
    DenseBackwardShared<Tile>(carver, shape, warps, stages, 0);
  } else {
    DenseForwardShared<Tile>(carver, shape, warps, stages, 0);
  }
  return carver.used;
}

template <typename Tile, int kPieces>
cudaError_t run_dense_of_width(const DenseArguments &args, bool backward, cudaStream_t stream) {
  const ClearProblem &p = args.problem;
  const int64_t blocks = p.batch * p.heads * args.plan.row_blocks * args.plan.parts;
  const int64_t shared = dense_shared_bytes<Tile>(p, backward, args.plan.warps, args.plan.stages);
  const int threads = 32 * args.plan.warps;
  if (!backward) return launch(dense_forward<Tile, kPieces>, blocks, threads, shared, stream, args);
  const cudaError_t status = launch(dense_backward_queries<Tile, kPieces>, blocks, threads, shared, stream, args);
  if (status != cudaSuccess) return status;
  return launch(dense_backward_keys<Tile, kPieces>, blocks, threads, shared, stream, args);
}

// The narrowest kernel that holds a part of the columns of D; float32 has fewer, to keep the build short.
template <typename Tile> cudaError_t run_dense(const DenseArguments &args, bool backward, cudaStream_t stream) {
  const int width = (args.problem.dim + args.plan.parts - 1) / args.plan.parts;
  if constexpr (sizeof(typename Tile::Element) == 2) {
    if (width <= 32) return run_dense_of_width<Tile, 2>(args, backward, stream);
    if (width > 64 && width <= 96) return run_dense_of_width<Tile, 6>(args, backward, stream);
  }
  if (width <= 64) return run_dense_of_width<Tile, 4>(args, backward, stream);
  return run_dense_of_width<Tile, 8>(args, backward, stream);
}

} // namespace clear_cuda
