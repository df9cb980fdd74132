// The launchers of each element type, compiled in files of their own so that a build uses several processes.
#pragma once

#include "columns.cuh"
#include "dense.cuh"
#include "rows.cuh"

namespace clear_cuda {

constexpr int kMaxColumnTiles = 4;

// Tiles of 16 leads in a beat column: the kernels exist for one and for four.
inline int column_tiles(int leads) { return leads <= kTileRows ? 1 : kMaxColumnTiles; }

// What a columns kernel takes: bytes of shared memory of a block, and how many warps its registers allow on a
// multiprocessor where it is one of the beat kernels, which take up to kBeatWarps in a block; else 0.
struct ColumnsCost {
  int64_t shared_bytes;
  int resident_warps;
};
template <typename Tile> ColumnsCost columns_cost(const ClearProblem &p, bool backward, int warps, bool aligned);

// Shared memory of a block, bytes.
template <typename Tile> int64_t dense_shared_bytes(const ClearProblem &p, bool backward, int warps, int stages);

// What a block of a head or packed kernel takes: bytes of shared memory, and its warps; 0 if there is none for the
// problem. T: the element type.
struct HeadCost {
  int64_t shared_bytes;
  int warps;
};
template <typename T> HeadCost head_cost(const ClearProblem &p, bool backward);

// Such a kernel.
struct HeadKernel {
  void (*run)(ColumnsArguments) = nullptr;
  HeadCost cost = {0, 0};
};

template <typename Tile> cudaError_t run_columns(const ColumnsArguments &args, bool backward, cudaStream_t stream);
template <typename T> cudaError_t run_head(const ColumnsArguments &args, bool backward, cudaStream_t stream);
template <typename Tile> cudaError_t run_dense(const DenseArguments &args, bool backward, cudaStream_t stream);

// A: the type of the sums, double for float64. Sets args.class_blocks.
template <typename A> cudaError_t run_rows(RowsArguments args, bool backward, cudaStream_t stream);

} // namespace clear_cuda
