// Launches the columns kernels of one element type; included once per type.
#pragma once

#include "beat_backward.cuh"
#include "beat_forward.cuh"
#include "class_merge.cuh"
#include "columns_backward.cuh"
#include "columns_forward.cuh"
#include "kernels.h"
#include "launch.cuh"

namespace clear_cuda {

// A kernel and what it takes.
struct ColumnsKernel {
  void (*run)(ColumnsArguments);
  ColumnsCost cost;
};

template <typename Tile, int kTiles, int kDim> ColumnsKernel columns_backward_of(const ClearProblem &p, int warps) {
  Carver carver = Carver::nowhere();
  const int rows = column_tiles(p.leads) * kTileRows;
  ColumnsBackwardShared<Tile>(carver, tile_shape<Tile>(p.dim, true), p.leads, rows, warps, 0);
  return {columns_backward<Tile, kTiles, kDim>, {carver.used, 0}};
}

template <typename Tile, int kTiles> ColumnsKernel columns_kernel_of(const ClearProblem &p, bool backward, int warps) {
  if (backward) return columns_backward_of<Tile, kTiles, 0>(p, warps);
  Carver carver = Carver::nowhere();
  const int rows = column_tiles(p.leads) * kTileRows;
  ColumnsForwardShared<Tile>(carver, tile_shape<Tile>(p.dim, true), p.leads, rows, warps, 0);
  return {columns_forward<Tile, kTiles>, {carver.used, 0}};
}

// Of the beat kernels. Their backward pass has registers for the usual leads and rows of up to 64 elements.
template <typename Tile, int kDim, int kLeads, bool kPlain>
ColumnsKernel beat_kernel_of(const ClearProblem &p, bool backward, int warps) {
  using T = typename Tile::Element;
  Carver carver = Carver::nowhere();
  if (!backward) {
    BeatForwardShared<T, kDim>(carver, p.leads, warps, p.beats);
    return {beat_forward<T, kDim, kLeads, kPlain>, {carver.used, kBeatWarps * kBeatForwardBlocks<kDim, kPlain>}};
  }
  if constexpr (kDim <= 64 && kLeads != 0) {
    BeatBackwardShared<T, kDim>(carver, p.leads, warps);
    return {beat_backward<T, kDim, kLeads, kPlain>, {carver.used, kBeatWarps * kBeatBackwardBlocks}};
  } else {
    return columns_backward_of<Tile, 1, kDim>(p, warps);
  }
}

template <typename Tile, int kDim> ColumnsKernel beat_kernel(const ClearProblem &p, bool backward, int warps) {
  if (p.leads != kUsualLeads) return beat_kernel_of<Tile, kDim, 0, false>(p, backward, warps);
  return is_plain(p) ? beat_kernel_of<Tile, kDim, kUsualLeads, true>(p, backward, warps)
                     : beat_kernel_of<Tile, kDim, kUsualLeads, false>(p, backward, warps);
}

template <typename Tile> ColumnsKernel columns_kernel(const ClearProblem &p, bool backward, int warps, bool aligned) {
  if (column_tiles(p.leads) > 1) return columns_kernel_of<Tile, kMaxColumnTiles>(p, backward, warps);
  if constexpr (sizeof(typename Tile::Element) == 2) {
    switch (aligned ? p.dim : 0) {
    case 32:
      return beat_kernel<Tile, 32>(p, backward, warps);
    case 64:
      return beat_kernel<Tile, 64>(p, backward, warps);
    case 96:
      return beat_kernel<Tile, 96>(p, backward, warps);
    case 128:
      return beat_kernel<Tile, 128>(p, backward, warps);
    default:
      break;
    }
  }
  return columns_kernel_of<Tile, 1>(p, backward, warps);
}

template <typename Tile> ColumnsCost columns_cost(const ClearProblem &p, bool backward, int warps, bool aligned) {
  return columns_kernel<Tile>(p, backward, warps, aligned).cost;
}

template <typename Tile> cudaError_t run_columns(const ColumnsArguments &args, bool backward, cudaStream_t stream) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const ColumnsPlan &plan = args.plan;
  const ColumnsKernel kernel = columns_kernel<Tile>(p, backward, plan.warps, plan.aligned);
  const cudaError_t status =
      launch(kernel.run, p.batch * p.heads * plan.chunks, 32 * plan.warps, kernel.cost.shared_bytes, stream, args);
  if (status != cudaSuccess || plan.chunks == 1) return status;
  const auto merge = backward ? merge_class_gradients<T> : merge_class_rows<T>;
  return launch(merge, p.batch * p.heads * p.leads, (p.dim + 31) / 32 * 32, 0, stream, args);
}

} // namespace clear_cuda
