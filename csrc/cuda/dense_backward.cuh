// Backward of the dense part: a kernel over queries gives dq and delta, a kernel over keys dk and dv.
#pragma once

#include "dense.cuh"

namespace clear_cuda {

template <typename Tile> struct DenseBackwardShared {
  using T = typename Tile::Element;
  T *mine_a, *mine_b;              // [16 warps, ld]: the block's own rows of q and dout, or of k and v
  T *step_a, *step_b;              // [32, ld] each, adjacent: the rows of the step, of k and v, or of q and dout
  int *codes, *positions;          // [32] of the step
  float *lse, *delta;              // [32] of the step, kernel over keys
  typename Tile::Weight *scratch;  // this warp's

  __host__ __device__ DenseBackwardShared(Carver &carver, const TileShape &shape, int warps, int warp) {
    constexpr int kStep = kBackwardTiles * kTileRows;
    mine_a = carver.take<T>(warps * kTileRows * shape.ld);
    mine_b = carver.take<T>(warps * kTileRows * shape.ld);
    step_a = carver.take<T>(2 * kStep * shape.ld);
    step_b = step_a + kStep * shape.ld;
    codes = carver.take<int>(kStep);
    positions = carver.take<int>(kStep);
    lse = carver.take<float>(kStep);
    delta = carver.take<float>(kStep);
    scratch = carver.take<typename Tile::Weight>(warps * Tile::kScratch) + warp * Tile::kScratch;
  }
};

template <typename Tile, int kPieces16>
__global__ void __launch_bounds__(kDenseThreads) dense_backward_queries(const __grid_constant__ DenseArguments args) {
  constexpr int kStep = kBackwardTiles * kTileRows;
  static_assert(kDenseWarps <= 2 * kBackwardTiles, "the rows of `out` are staged where k and v of a step go");
  const ClearProblem &p = args.problem;
  const DenseBlock block(args);
  if (block.first >= block.total) return;
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  Carver carver{dynamic_shared()};
  const DenseBackwardShared<Tile> shared(carver, shape, args.plan.warps, block.warp);
  const Dropout<float> dropout(p, block.batch, block.head);
  const LanePlace at;
  const float scale = static_cast<float>(p.scale);
  const Columns<kPieces16> columns(p.dim, block.piece);
  const int rows = args.plan.warps * kTileRows, mine = block.warp * kTileRows * shape.ld;

  stage_slots(shared.mine_a, shape, p.rows[CLEAR_Q], block, block.first, rows);
  stage_slots(shared.mine_b, shape, p.rows[CLEAR_DOUT], block, block.first, rows);
  stage_slots(shared.step_a, shape, p.rows[CLEAR_OUT], block, block.first, rows);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  float delta[2], lse[2];
  bool real[2];
  int codes[2], positions[2];
  Tile::paired(delta, shared.mine_b + mine, shared.step_a + mine, shape.ld, shape.padded);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int slot = block.my_slot(at.g + 8 * i);
    real[i] = slot < block.count;
    codes[i] = block.code(slot, kNoRow);
    positions[i] = real[i] ? block.slots[slot].position : 0;
    const int64_t index = row_index(p, block.batch, block.head, positions[i]);
    lse[i] = real[i] ? static_cast<const float *>(p.lse)[index] : 0.0f;
    if (real[i] && at.t == 0 && block.piece == 0) args.delta[index] = delta[i];
  }

  float dq[kPieces16][2][4];
  clear(dq);
  for (int first = 0; first < block.count; first += kStep) {
    __syncthreads();
    stage_slots(shared.step_a, shape, p.rows[CLEAR_K], block, first, kStep);
    stage_slots(shared.step_b, shape, p.rows[CLEAR_V], block, first, kStep);
    for (int i = block.thread; i < kStep; i += block.threads) {
      shared.codes[i] = block.code(first + i, kNoStep);
      shared.positions[i] = first + i < block.count ? block.slots[first + i].position : 0;
    }
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    float s[kBackwardTiles][2][4], dp[kBackwardTiles][2][4];
    clear(s);
    clear(dp);
    Tile::template scores<kBackwardTiles>(s, shared.mine_a + mine, shared.step_a, shape.ld, shape.padded);
    Tile::template scores<kBackwardTiles>(dp, shared.mine_b + mine, shared.step_b, shape.ld, shape.padded);
    const uint32_t kept = dropout.bits<8 * kBackwardTiles>([&](int i) -> Entry {
      const int key = i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4);
      return {i / 2 % 2 == 0 ? positions[0] : positions[1], shared.positions[key]};
    });
#pragma unroll
    for (int n = 0; n < kBackwardTiles; ++n) {
      if (first + n * kTileRows >= block.count) break;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int h = i / 4, e = i % 4, key = n * kTileRows + fragment_column(at, h, e);
        const bool allowed = may_meet(codes[e / 2], shared.codes[key]);
        const float weight = allowed ? exponential(product(s[n][h][e], scale) - lse[e / 2]) : 0.0f;
        const float factor = dropout.bit_factor(kept, n * 8 + i);
        s[n][h][e] = weight * (factor * dp[n][h][e] - delta[e / 2]) * scale;
      }
      const typename Tile::Weights slopes = Tile::weights(s[n], shared.scratch);
#pragma unroll
      for (int j = 0; j < kPieces16; ++j) {
        if (!columns.has(j)) break;
        Tile::accumulate(dq[j], slopes, shared.step_a + n * kTileRows * shape.ld + columns.first + j * 16, shape.ld);
      }
    }
  }
  __syncwarp();
  store_result<Tile, kPieces16>(shared.mine_a + mine, shape, p.rows[CLEAR_DQ], block, columns, dq, real);
}

// Adds nothing, rounds nothing: float rows of the workspace, by beat.
template <typename Tile, int kPieces16>
__device__ void store_floats(float *target, const ClearProblem &p, const DenseBlock &block,
                             const Columns<kPieces16> &columns, const float (&result)[kPieces16][2][4]) {
  const LanePlace at;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int slot = block.my_slot(at.g + 8 * i);
    if (slot >= block.count) continue;
    const int64_t beat = block.slots[slot].position - p.leads;
    float *row = target + ((block.batch * p.heads + block.head) * beat_count(p) + beat) * p.dim + columns.first;
#pragma unroll
    for (int j = 0; j < kPieces16; ++j) {
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        const int column = j * 16 + Tile::first_column(at, x / 2) + x % 2;
        if (column < columns.count) row[column] = result[j][x / 2][x % 2 + 2 * i];
      }
    }
  }
}

template <typename Tile, int kPieces16>
__global__ void __launch_bounds__(kDenseThreads) dense_backward_keys(const __grid_constant__ DenseArguments args) {
  constexpr int kStep = kBackwardTiles * kTileRows;
  const ClearProblem &p = args.problem;
  const DenseBlock block(args);
  if (block.first >= block.total) return;
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  Carver carver{dynamic_shared()};
  const DenseBackwardShared<Tile> shared(carver, shape, args.plan.warps, block.warp);
  const Dropout<float> dropout(p, block.batch, block.head);
  const LanePlace at;
  const float scale = static_cast<float>(p.scale);
  const Columns<kPieces16> columns(p.dim, block.piece);
  const int rows = args.plan.warps * kTileRows, mine = block.warp * kTileRows * shape.ld;

  stage_slots(shared.mine_a, shape, p.rows[CLEAR_K], block, block.first, rows);
  stage_slots(shared.mine_b, shape, p.rows[CLEAR_V], block, block.first, rows);
  bool real[2];
  int codes[2], positions[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int slot = block.my_slot(at.g + 8 * i);
    real[i] = slot < block.count;
    codes[i] = block.code(slot, kNoRow);
    positions[i] = real[i] ? block.slots[slot].position : 0;
  }

  float dk[kPieces16][2][4], dv[kPieces16][2][4];
  clear(dk);
  clear(dv);
  for (int first = args.plan.first_slot; first < block.count; first += kStep) {
    __syncthreads();
    stage_slots(shared.step_a, shape, p.rows[CLEAR_Q], block, first, kStep);
    stage_slots(shared.step_b, shape, p.rows[CLEAR_DOUT], block, first, kStep);
    for (int i = block.thread; i < kStep; i += block.threads) {
      const bool inside = first + i < block.count;
      shared.codes[i] = block.code(first + i, kNoStep);
      shared.positions[i] = inside ? block.slots[first + i].position : 0;
      const int64_t index = row_index(p, block.batch, block.head, shared.positions[i]);
      shared.lse[i] = inside ? static_cast<const float *>(p.lse)[index] : 0.0f;
      shared.delta[i] = inside ? args.delta[index] : 0.0f;
    }
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    // Transposed: rows are this warp's keys, columns the queries of the step.
    float s[kBackwardTiles][2][4], dp[kBackwardTiles][2][4];
    clear(s);
    clear(dp);
    Tile::template scores<kBackwardTiles>(s, shared.mine_a + mine, shared.step_a, shape.ld, shape.padded);
    Tile::template scores<kBackwardTiles>(dp, shared.mine_b + mine, shared.step_b, shape.ld, shape.padded);
    const uint32_t kept = dropout.bits<8 * kBackwardTiles>([&](int i) -> Entry {
      const int query = i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4);
      return {shared.positions[query], i / 2 % 2 == 0 ? positions[0] : positions[1]};
    });
#pragma unroll
    for (int n = 0; n < kBackwardTiles; ++n) {
      if (first + n * kTileRows >= block.count) break;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int h = i / 4, e = i % 4, query = n * kTileRows + fragment_column(at, h, e);
        const bool allowed = may_meet(shared.codes[query], codes[e / 2]);
        const float weight = allowed ? exponential(product(s[n][h][e], scale) - shared.lse[query]) : 0.0f;
        const float factor = dropout.bit_factor(kept, n * 8 + i);
        s[n][h][e] = weight * factor;
        dp[n][h][e] = weight * (factor * dp[n][h][e] - shared.delta[query]) * scale;
      }
      const int step = n * kTileRows * shape.ld + columns.first;
      const typename Tile::Weights weights = Tile::weights(s[n], shared.scratch);
#pragma unroll
      for (int j = 0; j < kPieces16; ++j) {
        if (!columns.has(j)) break;
        Tile::accumulate(dv[j], weights, shared.step_b + step + j * 16, shape.ld);
      }
      const typename Tile::Weights slopes = Tile::weights(dp[n], shared.scratch);
#pragma unroll
      for (int j = 0; j < kPieces16; ++j) {
        if (!columns.has(j)) break;
        Tile::accumulate(dk[j], slopes, shared.step_a + step + j * 16, shape.ld);
      }
    }
  }
  if (args.global_dk != nullptr) {
    store_floats<Tile, kPieces16>(args.global_dk, p, block, columns, dk);
    store_floats<Tile, kPieces16>(args.global_dv, p, block, columns, dv);
    return;
  }
  __syncwarp();
  store_result<Tile, kPieces16>(shared.mine_a + mine, shape, p.rows[CLEAR_DK], block, columns, dk, real);
  store_result<Tile, kPieces16>(shared.mine_b + mine, shape, p.rows[CLEAR_DV], block, columns, dv, real);
}

}  // namespace clear_cuda
