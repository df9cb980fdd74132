// The dense part: global beats (and, where every beat is global, class tokens) against each other, in the order of the
// slot list. A warp owns 16 rows; the block walks the other side in steps of 32 rows that all its warps share, the next
// step on its way while the present one is worked on. With D > 128 several blocks take parts of the result's columns.
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
constexpr int kStepTiles = 2;
constexpr int kStepRows = kStepTiles * kTileRows;

// Blocks of a multiprocessor that the compiler keeps registers for. Left to itself it aims at occupancies of its own
// and spills for them; these are the largest that need no spilling. Turing's shared memory holds no more than two.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kMaxDenseBlocks = 2;
#else
constexpr int kMaxDenseBlocks = 4;
#endif
constexpr int at_most_dense_blocks(int blocks) { return blocks < kMaxDenseBlocks ? blocks : kMaxDenseBlocks; }
template <typename Tile> constexpr bool kHalves = sizeof(typename Tile::Element) == 2;
template <typename Tile, int kPieces>
constexpr int kForwardBlocks = at_most_dense_blocks(kHalves<Tile> ? (kPieces <= 6 ? 4 : 3) : (kPieces <= 4 ? 3 : 2));
template <typename Tile, int kPieces>
constexpr int kQueryBlocks = at_most_dense_blocks(kHalves<Tile> ? (kPieces <= 4 ? 4 : 3) : 2);
template <typename Tile, int kPieces>
constexpr int kKeyBlocks = at_most_dense_blocks(kHalves<Tile> && kPieces <= 4 ? 3 : 2);

struct DensePlan {
  int warps;          // per block
  int stages;         // steps in shared memory: 2, or 1 where two do not fit
  int first_slot;     // L where the class rows are served elsewhere, else 0
  int64_t row_blocks; // per (batch, head): enough for the longest possible list
  int parts;          // of the columns of the result
  bool aligned;
};

struct DenseArguments {
  ClearProblem problem;
  DensePlan plan;
  SlotList list;
  float *delta;                 // [B, H, N]: rowsum(dout * out), backward only
  float *global_dk, *global_dv; // CLEAR_MIXED: targets of dk and dv, [B * H, L * T, D]; else null
};

// What every dense kernel knows of its block.
struct DenseBlock {
  int64_t batch, head;
  int first, count, total, part; // first slot of the block; slots that take part; slots to write
  int thread, threads, warp, lane;
  const Slot *slots;

  __device__ explicit DenseBlock(const DenseArguments &args)
      : thread(static_cast<int>(threadIdx.x)), threads(32 * args.plan.warps), warp(static_cast<int>(threadIdx.x / 32u)),
        lane(static_cast<int>(threadIdx.x % 32u)) {
    const ClearProblem &p = args.problem;
    const unsigned parts = static_cast<unsigned>(args.plan.parts), heads = static_cast<unsigned>(p.heads);
    const unsigned row_blocks = static_cast<unsigned>(args.plan.row_blocks), row = blockIdx.x / parts;
    part = static_cast<int>(blockIdx.x % parts);
    first = args.plan.first_slot + static_cast<int>(row % row_blocks) * args.plan.warps * kTileRows;
    head = row / row_blocks % heads;
    batch = row / row_blocks / heads;
    slots = args.list.of(batch);
    count = args.list.count(batch);
    total = p.form == CLEAR_MIXED ? count : static_cast<int>(token_count(p));
  }
  __device__ int my_slot(int row) const { return first + warp * kTileRows + row; }
  __device__ Slot slot(int index, int absent) const { return index < count ? slots[index] : Slot{0, absent}; }
  // Whether this warp's rows and those of a step are all beats, which need no mask.
  __device__ bool only_beats(const ClearProblem &p, int step) const {
    return my_slot(0) >= p.leads && step >= p.leads && step + kStepRows <= count;
  }
};

// Brings the slots [first, first + rows) of the tensors `tensor` and `tensor` + 1 or `other` to two adjacent tiles;
// slots that take no part become zero.
template <typename T>
__device__ __forceinline__ void stage_slots(T *tiles, const TileShape &shape, const ClearProblem &p, int tensor,
                                            int other, const DenseBlock &block, int first, int rows) {
#pragma unroll 1
  for (int i = 0; i < 2; ++i) {
    const ClearRows &source = p.rows[i == 0 ? tensor : other];
    stage_rows(tiles + i * rows * shape.ld, shape, rows, block.thread, block.threads, [&](int r) -> const T * {
      const int slot = first + r;
      return slot < block.count ? token_row<const T>(source, block.batch, block.head, block.slots[slot].position)
                                : nullptr;
    });
  }
}

// The columns of the result that a block computes, in elements of D and in pieces of 16.
template <int kPieces> struct Columns {
  int first, count, pieces;
  __device__ Columns(const TileShape &shape, int part) : first(part * kPieces * 16) {
    const int left = shape.dim - first;
    count = left < kPieces * 16 ? left : kPieces * 16;
    pieces = (count + 15) / 16;
  }
};

// Rounds the result of a warp into `tile` (16 rows, free by now) and writes it. Rows that are not `real` become zero.
template <typename Tile, int kPieces>
__device__ __forceinline__ void
store_result(typename Tile::Element *tile, const TileShape &shape, const ClearRows &target, const DenseBlock &block,
             const Columns<kPieces> &columns, const float (&result)[kPieces][2][4], const bool (&real)[2]) {
  using T = typename Tile::Element;
  const LanePlace at;
  __syncwarp();
#pragma unroll
  for (int j = 0; j < kPieces; ++j) {
    if (j >= columns.pieces) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int h = i / 2, e = i % 2 * 2;
      const float low = real[i % 2] ? result[j][h][e] : 0.0f, high = real[i % 2] ? result[j][h][e + 1] : 0.0f;
      Tile::store_pair(tile + fragment_row(at, e) * shape.ld + j * 16 + Tile::first_column(at, h), low, high);
    }
  }
  __syncwarp();
  store_rows(tile, shape, kTileRows, columns.first, columns.count, block.lane, 32, [&](int r) -> T * {
    const int slot = block.my_slot(r);
    return slot < block.total ? token_row<T>(target, block.batch, block.head, block.slots[slot].position) : nullptr;
  });
}

// The entries that a lane holds of a step: which pairs may meet, bit 8 n + 4 h + e for s[n][h][e].
__device__ __forceinline__ uint32_t allowed_entries(const Slot (&mine)[2], const Slot *step) {
  const LanePlace at;
  uint32_t allowed = 0;
#pragma unroll 1
  for (int i = 0; i < 8 * kStepTiles; ++i) {
    const int other = step[i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4)].code;
    allowed |= may_meet(i / 2 % 2 == 0 ? mine[0].code : mine[1].code, other) ? 1u << i : 0u;
  }
  return allowed;
}

// Dropout of the same entries; `transposed` if this warp's rows are keys.
__device__ __forceinline__ uint32_t kept_entries(const Dropout<float> &dropout, const Slot (&mine)[2], const Slot *step,
                                                 bool transposed) {
  const LanePlace at;
  return dropout.bits<8 * kStepTiles>([&](int i) {
    const int64_t other = step[i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4)].position;
    const int64_t own = i / 2 % 2 == 0 ? mine[0].position : mine[1].position;
    return transposed ? Entry{other, own} : Entry{own, other};
  });
}

// Walks the slots from `begin` in steps: stage(buffer, slot) starts bringing a step into a buffer, work(buffer, slot)
// uses it. With two buffers a step is under way while the one before is worked on.
template <typename Stage, typename Work>
__device__ __forceinline__ void walk_steps(int begin, int end, int stages, Stage stage, Work work) {
  const int ahead = (stages - 1) * kStepRows;
#pragma unroll 1
  for (int slot = begin - ahead; slot < end; slot += kStepRows) {
    const int next = slot + ahead;
    if (next < end) stage((next - begin) / kStepRows % stages, next);
    copy_commit();
    if (slot < begin) continue;
    if (stages == 1) {
      copy_wait<0>();
    } else {
      copy_wait<1>();
    }
    __syncthreads();
    work((slot - begin) / kStepRows % stages, slot);
    __syncthreads();
  }
  copy_wait<0>();
}

} // namespace clear_cuda
