// The local part: a warp per heartbeat. The L tokens of beat column j are kTiles tiles of 16 rows in shared memory; a
// block walks a chunk of columns, as many at a time as it has warps, and keeps the class tokens of its head beside
// them, so that class rows meet every beat while it is in shared memory.
#pragma once

#include "carve.cuh"
#include "philox.cuh"
#include "scalar_tile.cuh"
#include "stage.cuh"
#include "tensor_tile.cuh"
#include "tokens.cuh"

namespace clear_cuda {

constexpr int kColumnWarps = 8;
constexpr int kColumnThreads = 32 * kColumnWarps;

// Largest blocks of a multiprocessor that the compiler keeps registers for, so many that it need not spill. Turing has
// shared memory for half a block only, and spends many registers on bfloat16.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <int kTiles> constexpr int kColumnBlocks = 1;
#else
template <int kTiles> constexpr int kColumnBlocks = kTiles == 1 ? 2 : 1;
#endif

struct ColumnsPlan {
  int warps;                 // per block
  int64_t columns_per_chunk; // a multiple of `warps`, unless there is one chunk
  int64_t chunks;            // blocks per (batch, head)
  bool aligned;
};

// Class rows of one chunk, to be merged; unused with a single chunk.
struct ClassPartials {
  float *max, *sum; // [B * H, chunks, L] forward
  float *rows;      // [B * H, chunks, 1 or 3, L, D]: weighted values, or dq, dk, dv
};

struct ColumnsArguments {
  ClearProblem problem;
  ColumnsPlan plan;
  ClassPartials partials;
  // CLEAR_MIXED backward: what the global queries give to dk and dv of global keys, [B * H, L * T, D] each.
  const float *global_dk, *global_dv;
};

// One bit per lead: the state of the tokens of a beat column.
struct ColumnMasks {
  uint64_t valid, local; // local: valid and not global

  template <int kTiles> __device__ static ColumnMasks read(const ClearProblem &p, int64_t batch, int64_t column) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    ColumnMasks masks = {0, 0};
#pragma unroll
    for (int half = 0; half < (kTiles + 1) / 2; ++half) {
      const int lead = lane + 32 * half;
      const int64_t beat = lead * p.beats + column;
      const bool valid = lead < p.leads && beat_valid(p, batch, beat);
      const bool local = valid && !beat_visible(p, batch, beat);
      masks.valid |= static_cast<uint64_t>(__ballot_sync(kWholeWarp, valid)) << (32 * half);
      masks.local |= static_cast<uint64_t>(__ballot_sync(kWholeWarp, local)) << (32 * half);
    }
    return masks;
  }
  // Whether the key of fragment element s[n][h][e] is valid; n, h and e are constants after unrolling.
  __device__ bool has_key(const LanePlace &at, int n, int h, int e) const {
    const uint32_t half = static_cast<uint32_t>(valid >> (32 * (n / 2))) >> (2 * at.t);
    return (half >> (n % 2 * kTileRows + 8 * h + e % 2) & 1u) != 0;
  }
  __device__ bool is_valid(int lead) const { return (valid >> lead & 1) != 0; }
  __device__ bool is_local(int lead) const { return (local >> lead & 1) != 0; }
  __device__ bool is_global(int lead) const { return is_valid(lead) && !is_local(lead); }
};

// What every columns kernel knows of its block.
struct ColumnsBlock {
  int64_t batch, head, chunk, begin, end; // columns [begin, end)
  int thread, threads, warp, lane;

  __device__ ColumnsBlock(const ClearProblem &p, const ColumnsPlan &plan)
      : thread(static_cast<int>(threadIdx.x)), threads(32 * plan.warps), warp(thread / 32), lane(thread % 32) {
    const BlockPlace place(p, blockIdx.x, plan.chunks);
    batch = place.batch;
    head = place.head;
    chunk = place.piece;
    begin = chunk * plan.columns_per_chunk;
    end = begin + plan.columns_per_chunk < p.beats ? begin + plan.columns_per_chunk : p.beats;
  }
  __device__ int64_t chunk_index(const ClearProblem &p, const ColumnsPlan &plan) const {
    return (batch * p.heads + head) * plan.chunks + chunk;
  }
};

__device__ __forceinline__ int64_t beat_position(const ClearProblem &p, int lead, int64_t column) {
  return p.leads + lead * p.beats + column;
}

// Dropout of the entries that a lane holds of a row of tiles, whose rows are those of `lead` and `lead` + 8.
template <int kTiles>
__device__ __forceinline__ uint32_t column_bits(const Dropout<float> &dropout, const ClearProblem &p, int lead,
                                                int64_t column) {
  const LanePlace at;
  return dropout.bits<8 * kTiles>([&](int i) {
    const int key = i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4);
    return Entry{beat_position(p, lead + 8 * (i / 2 % 2), column), beat_position(p, key, column)};
  });
}

// Factors of what the beats of these two rows give to their class tokens, and of what those give to them.
__device__ __forceinline__ void class_factors(float (&own)[2], float (&foreign)[2], const Dropout<float> &dropout,
                                              const ClearProblem &p, int lead, int64_t column) {
  own[0] = own[1] = foreign[0] = foreign[1] = 1.0f;
  if (!dropout.on()) return;
  const uint32_t kept = dropout.bits<4>([&](int i) {
    const int64_t of_class = lead + 8 * (i % 2), of_beat = beat_position(p, lead + 8 * (i % 2), column);
    return i < 2 ? Entry{of_beat, of_class} : Entry{of_class, of_beat};
  });
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    own[i] = dropout.factor(kept, i);
    foreign[i] = dropout.factor(kept, i + 2);
  }
}

// Brings the class tokens' rows of the first `tensors` tensors to adjacent tiles, all threads together.
template <typename T>
__device__ __forceinline__ void stage_class_rows(T *tiles, const TileShape &shape, const ClearProblem &p, int tensors,
                                                 const ColumnsBlock &block, int rows) {
#pragma unroll 1
  for (int tensor = 0; tensor < tensors; ++tensor) {
    stage_rows(tiles + tensor * rows * shape.ld, shape, rows, block.thread, block.threads, [&](int lead) -> const T * {
      return lead < p.leads ? token_row<const T>(p.rows[tensor], block.batch, block.head, lead) : nullptr;
    });
  }
}

// Brings a beat column of the first `tensors` tensors to adjacent tiles, one warp alone: the rows that `wanted` marks,
// or `wanted_q` for q; the others become zero.
template <typename T>
__device__ __forceinline__ void stage_column(T *tiles, const TileShape &shape, const ClearProblem &p, int tensors,
                                             const ColumnsBlock &block, int rows, int64_t column, uint64_t wanted_q,
                                             uint64_t wanted) {
#pragma unroll 1
  for (int tensor = 0; tensor < tensors; ++tensor) {
    const uint64_t marks = tensor == CLEAR_Q ? wanted_q : wanted;
    stage_rows(tiles + tensor * rows * shape.ld, shape, rows, block.lane, 32, [&](int lead) -> const T * {
      return (marks >> lead & 1) != 0
                 ? token_row<const T>(p.rows[tensor], block.batch, block.head, beat_position(p, lead, column))
                 : nullptr;
    });
  }
}

// Writes the rows of a beat column that `wanted` marks.
template <typename T>
__device__ __forceinline__ void store_column(const T *tile, const TileShape &shape, const ClearProblem &p,
                                             const ClearRows &target, const ColumnsBlock &block, int rows,
                                             int64_t column, uint64_t wanted) {
  store_rows(tile, shape, rows, 0, shape.dim, block.lane, 32, [&](int lead) -> T * {
    return (wanted >> lead & 1) != 0 ? token_row<T>(target, block.batch, block.head, beat_position(p, lead, column))
                                     : nullptr;
  });
}

constexpr int kColumnPieces = 2; // of 16 columns of the result, computed together

// Places pieces of results into a tile of elements; rows g and g + 8 become zero unless `real`.
template <typename Tile, int kPieces>
__device__ __forceinline__ void put_elements(typename Tile::Element *tile, int ld, const float (&x)[kPieces][2][4],
                                             int pieces, const bool (&real)[2]) {
  const LanePlace at;
#pragma unroll
  for (int j = 0; j < kPieces; ++j) {
    if (j >= pieces) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int h = i / 2, e = i % 2 * 2;
      const float low = real[i % 2] ? x[j][h][e] : 0.0f, high = real[i % 2] ? x[j][h][e + 1] : 0.0f;
      Tile::store_pair(tile + fragment_row(at, e) * ld + 16 * j + Tile::first_column(at, h), low, high);
    }
  }
}

__device__ __forceinline__ uint64_t all_leads(const ClearProblem &p) {
  return p.leads == 64 ? ~uint64_t{0} : (uint64_t{1} << p.leads) - 1;
}

// Four adjacent elements.
template <typename T> __device__ __forceinline__ float4 widen4(const T *x) {
  return make_float4(widen(x[0]), widen(x[1]), widen(x[2]), widen(x[3]));
}
template <> __device__ __forceinline__ float4 widen4<float>(const float *x) {
  return *reinterpret_cast<const float4 *>(x);
}
__device__ __forceinline__ void add4(float4 &sum, float factor, float4 x) {
  sum.x = fmaf(factor, x.x, sum.x);
  sum.y = fmaf(factor, x.y, sum.y);
  sum.z = fmaf(factor, x.z, sum.z);
  sum.w = fmaf(factor, x.w, sum.w);
}

} // namespace clear_cuda
