// The dense part: global beats (and, where every beat is global, class tokens) against each other, in the order of the
// slot list. A warp owns 16 rows; the block walks the other side in steps of kTiles tiles that all its warps share. With
// D > 128 several blocks take pieces of the columns of the result.
#pragma once

#include "carve.cuh"
#include "philox.cuh"
#include "scalar_tile.cuh"
#include "slots.cuh"
#include "stage.cuh"
#include "tensor_tile.cuh"

namespace clear_cuda {

constexpr int kDenseWarps = 4;
constexpr int kDenseThreads = 32 * kDenseWarps;
constexpr int kForwardTiles = 4;   // keys per step: 64
constexpr int kBackwardTiles = 2;  // keys or queries per step: 32

struct DensePlan {
  int warps;           // per block
  int first_slot;      // L where the class rows are served elsewhere, else 0
  int64_t row_blocks;  // per (batch, head): enough for the longest possible list
  int pieces;          // of the columns of the result
  bool aligned;
};

struct DenseArguments {
  ClearProblem problem;
  DensePlan plan;
  SlotList list;
  float *delta;                  // [B, H, N]: rowsum(dout * out), backward only
  float *global_dk, *global_dv;  // CLEAR_MIXED: targets of dk and dv, [B * H, L * T, D]; else null
};

// What every dense kernel knows of its block.
struct DenseBlock {
  int64_t batch, head;
  int first, count, total, piece;  // first slot of the block; slots that take part; slots to write
  int thread, threads, warp, lane;
  const Slot *slots;

  __device__ explicit DenseBlock(const DenseArguments &args)
      : thread(static_cast<int>(threadIdx.x)), threads(32 * args.plan.warps), warp(thread / 32), lane(thread % 32) {
    const ClearProblem &p = args.problem;
    int64_t index = blockIdx.x;
    piece = static_cast<int>(index % args.plan.pieces);
    index /= args.plan.pieces;
    first = args.plan.first_slot + static_cast<int>(index % args.plan.row_blocks) * args.plan.warps * kTileRows;
    index /= args.plan.row_blocks;
    head = index % p.heads;
    batch = index / p.heads;
    slots = args.list.of(batch);
    count = args.list.count(batch);
    total = p.form == CLEAR_MIXED ? count : static_cast<int>(token_count(p));
  }
  __device__ int my_slot(int row) const { return first + warp * kTileRows + row; }
  __device__ int code(int slot, int absent) const { return slot < count ? slots[slot].code : absent; }
};

// Brings the rows of slots [first, first + rows) to shared memory; slots that take no part become zero.
template <typename T>
__device__ void stage_slots(T *tile, const TileShape &shape, const ClearRows &source, const DenseBlock &block,
                            int first, int rows) {
  stage_rows(tile, shape, rows, block.thread, block.threads, [&](int r) -> const T * {
    return first + r < block.count
               ? token_row<const T>(source, block.batch, block.head, block.slots[first + r].position)
               : nullptr;
  });
}

// Writes the 16 rows of a warp: columns [column, column + count) of D from a tile whose column 0 is `column`.
template <typename T>
__device__ void store_slots(const T *tile, const TileShape &shape, const ClearRows &target, const DenseBlock &block,
                            int column, int count) {
  store_rows(tile, shape, kTileRows, column, count, block.lane, 32, [&](int r) -> T * {
    const int slot = block.my_slot(r);
    return slot < block.total ? token_row<T>(target, block.batch, block.head, block.slots[slot].position) : nullptr;
  });
}

// The columns of the result that a block computes.
template <int kPieces16> struct Columns {
  int first, count;  // in elements of D
  __device__ Columns(int dim, int piece) : first(piece * kPieces16 * 16) {
    count = dim - first < kPieces16 * 16 ? dim - first : kPieces16 * 16;
  }
  __device__ bool has(int piece16) const { return piece16 * 16 < count; }
};

// Rounds the result of a warp into `tile` (16 rows, free by now) and writes it.
template <typename Tile, int kPieces16>
__device__ void store_result(typename Tile::Element *tile, const TileShape &shape, const ClearRows &target,
                             const DenseBlock &block, const Columns<kPieces16> &columns,
                             const float (&result)[kPieces16][2][4], const bool (&real)[2]) {
  const LanePlace at;
#pragma unroll
  for (int j = 0; j < kPieces16; ++j) {
    if (!columns.has(j)) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int h = i / 2, e = i % 2 * 2;
      const float low = real[i % 2] ? result[j][h][e] : 0.0f, high = real[i % 2] ? result[j][h][e + 1] : 0.0f;
      Tile::store_pair(tile + fragment_row(at, e) * shape.ld + j * 16 + Tile::first_column(at, h), low, high);
    }
  }
  __syncwarp();
  store_slots(tile, shape, target, block, columns.first, columns.count);
  __syncwarp();
}

}  // namespace clear_cuda
