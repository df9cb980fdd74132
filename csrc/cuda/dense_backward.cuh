// Backward of the dense part: a kernel over queries gives dq and delta, a kernel over keys dk and dv.
#pragma once

#include "dense.cuh"

namespace clear_cuda {

template <typename Tile> struct DenseBackwardShared {
  using T = typename Tile::Element;
  T *mine;                        // [2, 16 warps, ld]: the block's own rows of q and dout, or of k and v
  T *steps;                       // [stages, 2, 32, ld]: k and v, or q and dout, of a step
  Slot *slots;                    // [stages, 32]
  float *lse, *delta;             // [stages, 32] of the step's queries, kernel over keys
  typename Tile::Weight *scratch; // this warp's

  __host__ __device__ DenseBackwardShared(Carver &carver, const TileShape &shape, int warps, int stages, int warp) {
    constexpr int kScratch = Tile::kScratchRows * (kStepRows + Tile::kWeightPad);
    mine = carver.take<T>(2 * warps * kTileRows * shape.ld);
    steps = carver.take<T>(stages * 2 * kStepRows * shape.ld);
    slots = carver.take<Slot>(stages * kStepRows);
    lse = carver.take<float>(stages * kStepRows);
    delta = carver.take<float>(stages * kStepRows);
    scratch = carver.take<typename Tile::Weight>(warps * kScratch) + warp * kScratch;
  }
};

// delta of a warp's rows, whose dout is in shared memory: rows g and g + 8.
template <typename T>
__device__ __forceinline__ void row_deltas(float (&delta)[2], const T *dout, const ClearProblem &p,
                                           const DenseBlock &block, const TileShape &shape, const Slot (&mine)[2],
                                           const bool (&real)[2]) {
  const LanePlace at;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    delta[i] = 0.0f;
    if (real[i]) {
      const T *out = token_row<const T>(p.rows[CLEAR_OUT], block.batch, block.head, mine[i].position);
      const T *row = dout + (at.g + 8 * i) * shape.ld;
#pragma unroll 4
      for (int d = at.t; d < p.dim; d += 4) delta[i] = fmaf(widen(row[d]), widen(out[d]), delta[i]);
    }
    delta[i] = quad_sum(delta[i]);
  }
}

template <typename Tile, int kPieces>
__global__ void __launch_bounds__(kDenseThreads, (kQueryBlocks<Tile, kPieces>))
    dense_backward_queries(const __grid_constant__ DenseArguments args) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const DenseBlock block(args);
  if (block.first >= block.total) return;
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  Carver carver{dynamic_shared()};
  const DenseBackwardShared<Tile> shared(carver, shape, args.plan.warps, args.plan.stages, block.warp);
  const Dropout<float> dropout = {p, block.batch, block.head};
  const LanePlace at;
  const float scale = static_cast<float>(p.scale);
  const Columns<kPieces> columns(shape, block.part);
  const Slot mine[2] = {block.slot(block.my_slot(at.g), kNoRow), block.slot(block.my_slot(at.g + 8), kNoRow)};
  const bool real[2] = {mine[0].code != kNoRow, mine[1].code != kNoRow};
  const int rows = args.plan.warps * kTileRows;
  T *q = shared.mine + block.warp * kTileRows * shape.ld, *dout = q + rows * shape.ld;

  stage_slots(shared.mine, shape, p, CLEAR_Q, CLEAR_DOUT, block, block.first, rows);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  float delta[2], lse[2];
  row_deltas(delta, dout, p, block, shape, mine, real);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t index = row_index(p, block.batch, block.head, mine[i].position);
    lse[i] = real[i] ? static_cast<const float *>(p.lse)[index] : 0.0f;
    if (real[i] && at.t == 0 && block.part == 0) args.delta[index] = delta[i];
  }

  float dq[kPieces][2][4];
  clear(dq);
  const auto stage = [&](int buffer, int first) {
    stage_slots(shared.steps + buffer * 2 * kStepRows * shape.ld, shape, p, CLEAR_K, CLEAR_V, block, first, kStepRows);
    if (block.thread < kStepRows) {
      shared.slots[buffer * kStepRows + block.thread] = block.slot(first + block.thread, kNoStep);
    }
  };
  const auto work = [&](int buffer, int first) {
    const T *k = shared.steps + buffer * 2 * kStepRows * shape.ld, *v = k + kStepRows * shape.ld;
    const Slot *slots = shared.slots + buffer * kStepRows;
    float s[kStepTiles][2][4], dp[kStepTiles][2][4];
    clear(s);
    clear(dp);
    Tile::template scores<kStepTiles>(s, q, k, shape.ld, shape.padded);
    Tile::template scores<kStepTiles>(dp, dout, v, shape.ld, shape.padded);
    if (dropout.on()) drop<kStepTiles>(dp, dropout, kept_entries(dropout, mine, slots, false));
    const uint32_t allowed = block.only_beats(p, first) ? ~0u : allowed_entries(mine, slots);
#pragma unroll
    for (int i = 0; i < 8 * kStepTiles; ++i) {
      const int n = i / 8, h = i / 4 % 2, e = i % 4;
      const float weight = (allowed >> i & 1u) != 0 ? exponential(product(s[n][h][e], scale) - lse[e / 2]) : 0.0f;
      s[n][h][e] = weight * (dp[n][h][e] - delta[e / 2]) * scale;
    }
    const int tiles = block.count - first > kTileRows ? 2 : 1;
    Tile::template multiply<kStepTiles, kPieces>(dq, s, tiles, {k + columns.first, shape.ld, kStepRows}, columns.pieces,
                                                 shared.scratch);
  };
  walk_steps(0, block.count, args.plan.stages, stage, work);
  store_result<Tile, kPieces>(q, shape, p.rows[CLEAR_DQ], block, columns, dq, real);
}

// Rows of the float workspace, by beat.
template <typename Tile, int kPieces>
__device__ __forceinline__ void store_floats(float *target, const ClearProblem &p, const DenseBlock &block,
                                             const Columns<kPieces> &columns, const float (&result)[kPieces][2][4],
                                             const Slot (&mine)[2], const bool (&real)[2]) {
  const LanePlace at;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (!real[i]) continue;
    const int64_t beat = mine[i].position - p.leads;
    float *row = target + ((block.batch * p.heads + block.head) * beat_count(p) + beat) * p.dim + columns.first;
#pragma unroll
    for (int j = 0; j < 4 * kPieces; ++j) {
      const int column = j / 4 * 16 + Tile::first_column(at, j / 2 % 2) + j % 2;
      if (column < columns.count) row[column] = result[j / 4][j / 2 % 2][j % 2 + 2 * i];
    }
  }
}

template <typename Tile, int kPieces>
__global__ void __launch_bounds__(kDenseThreads, (kKeyBlocks<Tile, kPieces>))
    dense_backward_keys(const __grid_constant__ DenseArguments args) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const DenseBlock block(args);
  if (block.first >= block.total) return;
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  Carver carver{dynamic_shared()};
  const DenseBackwardShared<Tile> shared(carver, shape, args.plan.warps, args.plan.stages, block.warp);
  const Dropout<float> dropout = {p, block.batch, block.head};
  const LanePlace at;
  const float scale = static_cast<float>(p.scale);
  const Columns<kPieces> columns(shape, block.part);
  const Slot mine[2] = {block.slot(block.my_slot(at.g), kNoRow), block.slot(block.my_slot(at.g + 8), kNoRow)};
  const bool real[2] = {mine[0].code != kNoRow, mine[1].code != kNoRow};
  const int rows = args.plan.warps * kTileRows;
  T *k = shared.mine + block.warp * kTileRows * shape.ld, *v = k + rows * shape.ld;

  stage_slots(shared.mine, shape, p, CLEAR_K, CLEAR_V, block, block.first, rows);
  float dk[kPieces][2][4], dv[kPieces][2][4];
  clear(dk);
  clear(dv);
  const auto stage = [&](int buffer, int first) {
    stage_slots(shared.steps + buffer * 2 * kStepRows * shape.ld, shape, p, CLEAR_Q, CLEAR_DOUT, block, first,
                kStepRows);
    if (block.thread < kStepRows) {
      const int at_step = buffer * kStepRows + block.thread;
      const Slot slot = block.slot(first + block.thread, kNoStep);
      const int64_t index = row_index(p, block.batch, block.head, slot.position);
      shared.slots[at_step] = slot;
      shared.lse[at_step] = slot.code != kNoStep ? static_cast<const float *>(p.lse)[index] : 0.0f;
      shared.delta[at_step] = slot.code != kNoStep ? args.delta[index] : 0.0f;
    }
  };
  // Transposed: the rows of the scores are this warp's keys, the columns are the queries of the step.
  const auto work = [&](int buffer, int first) {
    const T *q = shared.steps + buffer * 2 * kStepRows * shape.ld, *dout = q + kStepRows * shape.ld;
    const Slot *slots = shared.slots + buffer * kStepRows;
    const float *lse = shared.lse + buffer * kStepRows, *delta = shared.delta + buffer * kStepRows;
    float s[kStepTiles][2][4], dp[kStepTiles][2][4];
    clear(s);
    clear(dp);
    Tile::template scores<kStepTiles>(s, k, q, shape.ld, shape.padded);
    Tile::template scores<kStepTiles>(dp, v, dout, shape.ld, shape.padded);
    const uint32_t kept = dropout.on() ? kept_entries(dropout, mine, slots, true) : 0;
    if (dropout.on()) drop<kStepTiles>(dp, dropout, kept);
    const uint32_t allowed = block.only_beats(p, first) ? ~0u : allowed_entries(mine, slots);
#pragma unroll
    for (int i = 0; i < 8 * kStepTiles; ++i) {
      const int n = i / 8, h = i / 4 % 2, e = i % 4, query = n * kTileRows + fragment_column(at, h, e);
      s[n][h][e] = (allowed >> i & 1u) != 0 ? exponential(product(s[n][h][e], scale) - lse[query]) : 0.0f;
      dp[n][h][e] = s[n][h][e] * (dp[n][h][e] - delta[query]) * scale;
    }
    if (dropout.on()) drop<kStepTiles>(s, dropout, kept);
    const int tiles = block.count - first > kTileRows ? 2 : 1;
    Tile::template multiply<kStepTiles, kPieces>(dv, s, tiles, {dout + columns.first, shape.ld, kStepRows},
                                                 columns.pieces, shared.scratch);
    Tile::template multiply<kStepTiles, kPieces>(dk, dp, tiles, {q + columns.first, shape.ld, kStepRows},
                                                 columns.pieces, shared.scratch);
  };
  walk_steps(args.plan.first_slot, block.count, args.plan.stages, stage, work);
  if (args.global_dk != nullptr) {
    store_floats<Tile, kPieces>(args.global_dk, p, block, columns, dk, mine, real);
    store_floats<Tile, kPieces>(args.global_dv, p, block, columns, dv, mine, real);
    return;
  }
  store_result<Tile, kPieces>(k, shape, p.rows[CLEAR_DK], block, columns, dk, real);
  store_result<Tile, kPieces>(v, shape, p.rows[CLEAR_DV], block, columns, dv, real);
}

} // namespace clear_cuda
