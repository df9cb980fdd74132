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

// Threads work in groups of four, which read 64 adjacent bytes of a row. `row_of(r)` is the row's address, or null for
// a row of zeros. The data are there after copy_commit(), copy_wait() and a barrier.
template <typename T, typename RowOf>
__device__ __forceinline__ void stage_rows(T *tile, const TileShape &shape, int rows, int thread, int threads,
                                           RowOf row_of) {
  constexpr int kPiece = 16 / sizeof(T);
#pragma unroll 1
  for (int r = thread / 4; r < rows; r += threads / 4) {
    const T *row = row_of(r);
    T *target = tile + r * shape.ld;
    if (shape.aligned) {
#pragma unroll 2
      for (int d = thread % 4 * kPiece; d < shape.padded; d += 4 * kPiece) {
        if (row != nullptr && d < shape.dim) {
          copy16(target + d, row + d);
        } else {
          *reinterpret_cast<uint4 *>(target + d) = make_uint4(0, 0, 0, 0);
        }
      }
    } else {
#pragma unroll 1
      for (int d = thread % 4; d < shape.padded; d += 4) {
        target[d] = row != nullptr && d < shape.dim ? row[d] : narrow<T>(0.0f);
      }
    }
  }
}

// Columns [first, first + count) of a tile whose column 0 is `first`, to the rows that `row_of` names.
template <typename T, typename RowOf>
__device__ __forceinline__ void store_rows(const T *tile, const TileShape &shape, int rows, int first, int count,
                                           int thread, int threads, RowOf row_of) {
  constexpr int kPiece = 16 / sizeof(T);
#pragma unroll 1
  for (int r = thread / 4; r < rows; r += threads / 4) {
    T *row = row_of(r);
    if (row == nullptr) continue;
    const T *source = tile + r * shape.ld;
    if (shape.aligned) {
#pragma unroll 2
      for (int d = thread % 4 * kPiece; d < count; d += 4 * kPiece) {
        *reinterpret_cast<uint4 *>(row + first + d) = *reinterpret_cast<const uint4 *>(source + d);
      }
    } else {
#pragma unroll 1
      for (int d = thread % 4; d < count; d += 4) row[first + d] = source[d];
    }
  }
}

} // namespace clear_cuda
