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

template <typename Tile> cudaError_t run_columns(const ColumnsArguments &args, bool backward, cudaStream_t stream) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const bool one = column_tiles(p.leads) == 1;
  const auto kernel = backward ? (one ? columns_backward<Tile, 1> : columns_backward<Tile, kMaxColumnTiles>)
                               : (one ? columns_forward<Tile, 1> : columns_forward<Tile, kMaxColumnTiles>);
  const int64_t heads = p.batch * p.heads;
  const cudaError_t status = launch(kernel, heads * args.plan.chunks, 32 * args.plan.warps,
                                    columns_shared_bytes<Tile>(p, backward, args.plan.warps), stream, args);
  if (status != cudaSuccess || args.plan.chunks == 1) return status;
  const auto merge = backward ? merge_class_gradients<T> : merge_class_rows<T>;
  return launch(merge, heads * p.leads, (p.dim + 31) / 32 * 32, 0, stream, args);
}

} // namespace clear_cuda
