// Launches the columns kernels of one element type; included once per type.
#pragma once

#include "class_merge.cuh"
#include "columns_backward.cuh"
#include "columns_forward.cuh"
#include "kernels.h"
#include "launch.cuh"

namespace clear_cuda {

template <typename Tile> int64_t columns_shared_bytes(const ClearProblem &p, bool backward, int warps) {
  const TileShape shape = tile_shape<Tile>(p.dim, true);
  const int rows = column_tiles(p.leads) * kTileRows;
  Carver carver = Carver::nowhere();
  if (backward) {
    ColumnsBackwardShared<Tile>(carver, shape, p.leads, rows, warps, 0);
  } else {
    ColumnsForwardShared<Tile>(carver, shape, p.leads, rows, warps, 0);
  }
  return carver.used;
}

template <typename Tile, int kTiles, int kDim>
cudaError_t run_columns_of(const ColumnsArguments &args, bool backward, cudaStream_t stream) {
  const auto kernel = backward ? columns_backward<Tile, kTiles, kDim> : columns_forward<Tile, kTiles, kDim>;
  return launch(kernel, args.problem.batch * args.problem.heads * args.plan.chunks, 32 * args.plan.warps,
                columns_shared_bytes<Tile>(args.problem, backward, args.plan.warps), stream, args);
}

// Kernels of their own for up to 16 leads and the usual head dimensions in 16 bits; the others serve any shape.
template <typename Tile>
cudaError_t run_columns_kernel(const ColumnsArguments &args, bool backward, cudaStream_t stream) {
  const ClearProblem &p = args.problem;
  if (column_tiles(p.leads) > 1) return run_columns_of<Tile, kMaxColumnTiles, 0>(args, backward, stream);
  if constexpr (sizeof(typename Tile::Element) == 2) {
    if (args.plan.aligned) {
      switch (p.dim) {
      case 32:
        return run_columns_of<Tile, 1, 32>(args, backward, stream);
      case 64:
        return run_columns_of<Tile, 1, 64>(args, backward, stream);
      case 96:
        return run_columns_of<Tile, 1, 96>(args, backward, stream);
      case 128:
        return run_columns_of<Tile, 1, 128>(args, backward, stream);
      default:
        break;
      }
    }
  }
  return run_columns_of<Tile, 1, 0>(args, backward, stream);
}

template <typename Tile> cudaError_t run_columns(const ColumnsArguments &args, bool backward, cudaStream_t stream) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const cudaError_t status = run_columns_kernel<Tile>(args, backward, stream);
  if (status != cudaSuccess || args.plan.chunks == 1) return status;
  const auto merge = backward ? merge_class_gradients<T> : merge_class_rows<T>;
  return launch(merge, p.batch * p.heads * p.leads, (p.dim + 31) / 32 * 32, 0, stream, args);
}

} // namespace clear_cuda
