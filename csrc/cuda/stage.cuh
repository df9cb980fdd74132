// Rows between global and shared memory, 16 bytes per access where the tensors are aligned for it.
#pragma once

#include "ptx.cuh"

namespace clear_cuda {

// The shared tile of a head: rows of `ld` elements, of which `dim` come from memory and the rest up to `padded` is
// zero.
struct TileShape {
  int dim, padded, ld;
  bool aligned; // rows of all tensors start on 16-byte boundaries and hold whole 16-byte pieces
};

template <typename Tile> __host__ __device__ inline TileShape tile_shape(int dim, bool aligned) {
  const int padded = (dim + 15) / 16 * 16;
  return {dim, padded, padded + Tile::kPad, aligned};
}

template <typename T> constexpr int kPiece = 16 / sizeof(T); // elements of an access

// Starts bringing a row, or zeros unless `there`, to `target`. Four threads share a row and read 64 adjacent bytes of
// it. The data are there after copy_commit(), copy_wait() and a barrier.
template <typename T>
__device__ __forceinline__ void stage_row(T *target, const TileShape &shape, int quarter, const T *row, bool there) {
  if (shape.aligned) {
    target += quarter * kPiece<T>;
    row += quarter * kPiece<T>;
    // The count does not depend on the thread, so that it is known where the shape is.
#pragma unroll 4
    for (int d = 0; d < shape.padded; d += 4 * kPiece<T>) {
      const int column = d + quarter * kPiece<T>;
      if (column < shape.padded) copy16(target + d, row + d, there && column < shape.dim);
    }
  } else {
#pragma unroll 1
    for (int d = quarter; d < shape.padded; d += 4) {
      target[d] = there && d < shape.dim ? row[d] : narrow<T>(0.0f);
    }
  }
}

// Writes columns [first, first + count) of a row, which are in shared memory from `source` on.
template <typename T>
__device__ __forceinline__ void store_row(const T *source, const TileShape &shape, int quarter, T *row, int first,
                                          int count) {
  if (shape.aligned) {
    row += first + quarter * kPiece<T>;
    source += quarter * kPiece<T>;
#pragma unroll 4
    for (int d = 0; d < count; d += 4 * kPiece<T>) {
      if (d + quarter * kPiece<T> < count) {
        *reinterpret_cast<uint4 *>(row + d) = *reinterpret_cast<const uint4 *>(source + d);
      }
    }
  } else {
#pragma unroll 1
    for (int d = quarter; d < count; d += 4) row[first + d] = source[d];
  }
}

// A tile of rows; `row_of(r)` is the row's address, or null for a row of zeros.
template <typename T, typename RowOf>
__device__ __forceinline__ void stage_rows(T *tile, const TileShape &shape, int rows, int thread, int threads,
                                           RowOf row_of) {
#pragma unroll 1
  for (int r = thread / 4; r < rows; r += threads / 4) {
    const T *row = row_of(r);
    T *target = tile + r * shape.ld;
    // Any address will do where nothing is read.
    stage_row(target, shape, thread % 4, row != nullptr ? row : target, row != nullptr);
  }
}

// Columns [first, first + count) of a tile whose column 0 is `first`, to the rows that `row_of` names.
template <typename T, typename RowOf>
__device__ __forceinline__ void store_rows(const T *tile, const TileShape &shape, int rows, int first, int count,
                                           int thread, int threads, RowOf row_of) {
#pragma unroll 1
  for (int r = thread / 4; r < rows; r += threads / 4) {
    T *row = row_of(r);
    if (row != nullptr) store_row(tile + r * shape.ld, shape, thread % 4, row, first, count);
  }
}

} // namespace clear_cuda
