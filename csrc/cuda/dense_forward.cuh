// Forward of the dense part: one pass over the keys with a running softmax.
#pragma once

#include "dense.cuh"

namespace clear_cuda {

template <typename Tile> struct DenseForwardShared {
  using T = typename Tile::Element;
  T *q;                           // [16, ld], this warp's
  T *keys;                        // [stages, 2, 32, ld]: k and v of a step
  Slot *slots;                    // [stages, 32]
  typename Tile::Weight *scratch; // this warp's

  __host__ __device__ DenseForwardShared(Carver &carver, const TileShape &shape, int warps, int stages, int warp) {
    constexpr int kScratch = Tile::kScratchRows * (kStepRows + Tile::kWeightPad);
    q = carver.take<T>(warps * kTileRows * shape.ld) + warp * kTileRows * shape.ld;
    keys = carver.take<T>(stages * 2 * kStepRows * shape.ld);
    slots = carver.take<Slot>(stages * kStepRows);
    scratch = carver.take<typename Tile::Weight>(warps * kScratch) + warp * kScratch;
  }
};

template <typename Tile, int kPieces>
__global__ void __launch_bounds__(kDenseThreads, (kForwardBlocks<Tile, kPieces>))
    dense_forward(const __grid_constant__ DenseArguments args) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const DenseBlock block(args);
  if (block.first >= block.total) return;
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  Carver carver{dynamic_shared()};
  const DenseForwardShared<Tile> shared(carver, shape, args.plan.warps, args.plan.stages, block.warp);
  const Dropout<float> dropout = {p, block.batch, block.head};
  const LanePlace at;
  const float scale = static_cast<float>(p.scale);
  const Columns<kPieces> columns(shape, block.part);
  const Slot mine[2] = {block.slot(block.my_slot(at.g), kNoRow), block.slot(block.my_slot(at.g + 8), kNoRow)};

  stage_rows(shared.q, shape, kTileRows, block.lane, 32, [&](int r) -> const T * {
    const int slot = block.my_slot(r);
    return slot < block.count ? token_row<const T>(p.rows[CLEAR_Q], block.batch, block.head, block.slots[slot].position)
                              : nullptr;
  });
  float out[kPieces][2][4], max[2] = {-infinity<float>(), -infinity<float>()}, sum[2] = {0.0f, 0.0f};
  clear(out);
  const auto stage = [&](int buffer, int first) {
    stage_slots(shared.keys + buffer * 2 * kStepRows * shape.ld, shape, p, CLEAR_K, CLEAR_V, block, first, kStepRows);
    if (block.thread < kStepRows) {
      shared.slots[buffer * kStepRows + block.thread] = block.slot(first + block.thread, kNoStep);
    }
  };
  const auto work = [&](int buffer, int first) {
    const T *keys = shared.keys + buffer * 2 * kStepRows * shape.ld;
    const Slot *slots = shared.slots + buffer * kStepRows;
    float s[kStepTiles][2][4], new_max[2] = {max[0], max[1]}, base[2], kept[2];
    clear(s);
    Tile::template scores<kStepTiles>(s, shared.q, keys, shape.ld, shape.padded);
    const uint32_t allowed = block.only_beats(p, first) ? ~0u : allowed_entries(mine, slots);
#pragma unroll
    for (int i = 0; i < 8 * kStepTiles; ++i) {
      float &x = s[i / 8][i / 4 % 2][i % 4];
      x = (allowed >> i & 1u) != 0 ? product(x, scale) : -infinity<float>();
      new_max[i / 2 % 2] = larger(new_max[i / 2 % 2], x);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      new_max[i] = quad_max(new_max[i]);
      base[i] = new_max[i] == -infinity<float>() ? 0.0f : new_max[i];
      kept[i] = exponential(max[i] - base[i]);
      max[i] = new_max[i];
      sum[i] *= kept[i];
    }
#pragma unroll
    for (int i = 0; i < 8 * kStepTiles; ++i) {
      float &x = s[i / 8][i / 4 % 2][i % 4];
      x = exponential(x - base[i / 2 % 2]);
      sum[i / 2 % 2] += x;
    }
    if (dropout.on()) drop<kStepTiles>(s, dropout, kept_entries(dropout, mine, slots, false));
#pragma unroll
    for (int i = 0; i < 8 * kPieces; ++i) out[i / 8][i / 4 % 2][i % 4] *= kept[i / 2 % 2];
    const int tiles = block.count - first > kTileRows ? 2 : 1;
    Tile::template multiply<kStepTiles, kPieces>(out, s, tiles,
                                                 {keys + kStepRows * shape.ld + columns.first, shape.ld, kStepRows},
                                                 columns.pieces, shared.scratch);
  };
  walk_steps(0, block.count, args.plan.stages, stage, work);

  bool real[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int slot = block.my_slot(at.g + 8 * i);
    real[i] = slot < block.count;
    sum[i] = quad_sum(sum[i]);
    const float normalise = reciprocal(sum[i]);
#pragma unroll
    for (int j = 0; j < 4 * kPieces; ++j) out[j / 4][j / 2 % 2][j % 2 + 2 * i] *= normalise;
    if (at.t == 0 && block.part == 0 && slot < block.total) {
      float *lse = static_cast<float *>(p.lse) + row_index(p, block.batch, block.head, block.slots[slot].position);
      *lse = real[i] ? max[i] + logarithm(sum[i]) : infinity<float>();
    }
  }
  store_result<Tile, kPieces>(shared.q, shape, p.rows[CLEAR_OUT], block, columns, out, real);
}

} // namespace clear_cuda
