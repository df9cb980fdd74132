// Forward of the dense part: one pass over the keys with a running softmax.
#pragma once

#include "dense.cuh"

namespace clear_cuda {

template <typename Tile> struct DenseForwardShared {
  using T = typename Tile::Element;
  T *q, *k, *v;                    // [16 warps, ld], [keys, ld], [keys, ld]
  int *codes, *positions;          // [keys]
  typename Tile::Weight *scratch;  // this warp's

  __host__ __device__ DenseForwardShared(Carver &carver, const TileShape &shape, int warps, int warp) {
    constexpr int kKeys = kForwardTiles * kTileRows;
    q = carver.take<T>(warps * kTileRows * shape.ld);
    k = carver.take<T>(kKeys * shape.ld);
    v = carver.take<T>(kKeys * shape.ld);
    codes = carver.take<int>(kKeys);
    positions = carver.take<int>(kKeys);
    scratch = carver.take<typename Tile::Weight>(warps * Tile::kScratch) + warp * Tile::kScratch;
  }
};

// kPieces16: columns of the result in a block, in units of 16.
template <typename Tile, int kPieces16>
__global__ void __launch_bounds__(kDenseThreads) dense_forward(const __grid_constant__ DenseArguments args) {
  using T = typename Tile::Element;
  constexpr int kKeys = kForwardTiles * kTileRows;
  const ClearProblem &p = args.problem;
  const DenseBlock block(args);
  if (block.first >= block.total) return;
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  Carver carver{dynamic_shared()};
  const DenseForwardShared<Tile> shared(carver, shape, args.plan.warps, block.warp);
  const Dropout<float> dropout(p, block.batch, block.head);
  const LanePlace at;
  const float scale = static_cast<float>(p.scale);
  const Columns<kPieces16> columns(p.dim, block.piece);

  T *q = shared.q + block.warp * kTileRows * shape.ld;
  const int slots[2] = {block.my_slot(at.g), block.my_slot(at.g + 8)};
  int codes[2], positions[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    codes[i] = block.code(slots[i], kNoRow);
    positions[i] = slots[i] < block.total ? block.slots[slots[i]].position : 0;
  }

  const auto stage_keys = [&](int first) {
    stage_slots(shared.k, shape, p.rows[CLEAR_K], block, first, kKeys);
    for (int i = block.thread; i < kKeys; i += block.threads) {
      shared.codes[i] = block.code(first + i, kNoStep);
      shared.positions[i] = first + i < block.count ? block.slots[first + i].position : 0;
    }
    copy_commit();
  };
  const auto stage_values = [&](int first) {
    stage_slots(shared.v, shape, p.rows[CLEAR_V], block, first, kKeys);
    copy_commit();
  };
  stage_slots(shared.q, shape, p.rows[CLEAR_Q], block, block.first, args.plan.warps * kTileRows);
  stage_keys(0);
  stage_values(0);

  float out[kPieces16][2][4], max[2] = {-infinity<float>(), -infinity<float>()}, sum[2] = {0.0f, 0.0f};
  clear(out);
  for (int first = 0; first < block.count; first += kKeys) {
    float s[kForwardTiles][2][4];
    clear(s);
    copy_wait<1>();
    __syncthreads();
    Tile::template scores<kForwardTiles>(s, q, shared.k, shape.ld, shape.padded);

    float new_max[2] = {max[0], max[1]};
#pragma unroll
    for (int n = 0; n < kForwardTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int h = i / 4, e = i % 4, key = n * kTileRows + fragment_column(at, h, e);
        s[n][h][e] = may_meet(codes[e / 2], shared.codes[key]) ? product(s[n][h][e], scale) : -infinity<float>();
        new_max[e / 2] = larger(new_max[e / 2], s[n][h][e]);
      }
    }
    float base[2], kept[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      new_max[i] = quad_max(new_max[i]);
      base[i] = new_max[i] == -infinity<float>() ? 0.0f : new_max[i];
      kept[i] = exponential(max[i] - base[i]);
      max[i] = new_max[i];
      sum[i] *= kept[i];
    }
    const uint32_t kept_bits = dropout.bits<8 * kForwardTiles>([&](int i) -> Entry {
      const int key = i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4);
      return {i / 2 % 2 == 0 ? positions[0] : positions[1], shared.positions[key]};
    });
#pragma unroll
    for (int n = 0; n < kForwardTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int h = i / 4, e = i % 4;
        s[n][h][e] = exponential(s[n][h][e] - base[e / 2]);
        sum[e / 2] += s[n][h][e];
        s[n][h][e] *= dropout.bit_factor(kept_bits, n * 8 + i);
      }
    }
#pragma unroll
    for (int j = 0; j < kPieces16; ++j) {
#pragma unroll
      for (int i = 0; i < 8; ++i) out[j][i / 4][i % 4] *= kept[i % 4 / 2];
    }
    copy_wait<0>();
    __syncthreads();
    const bool more = first + kKeys < block.count;
    if (more) stage_keys(first + kKeys);
#pragma unroll
    for (int n = 0; n < kForwardTiles; ++n) {
      if (first + n * kTileRows >= block.count) break;
      const typename Tile::Weights weights = Tile::weights(s[n], shared.scratch);
#pragma unroll
      for (int j = 0; j < kPieces16; ++j) {
        if (!columns.has(j)) break;
        Tile::accumulate(out[j], weights, shared.v + n * kTileRows * shape.ld + columns.first + j * 16, shape.ld);
      }
    }
    __syncthreads();
    if (more) stage_values(first + kKeys);
  }

  bool real[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    real[i] = slots[i] < block.count;
    sum[i] = quad_sum(sum[i]);
    const float normalise = 1.0f / sum[i];
#pragma unroll
    for (int j = 0; j < kPieces16; ++j) {
#pragma unroll
      for (int x = 0; x < 4; ++x) out[j][x / 2][x % 2 + 2 * i] *= normalise;
    }
    if (at.t == 0 && block.piece == 0 && slots[i] < block.total) {
      float *lse = static_cast<float *>(p.lse) + row_index(p, block.batch, block.head, positions[i]);
      *lse = real[i] ? max[i] + logarithm(sum[i]) : infinity<float>();
    }
  }
  store_result<Tile, kPieces16>(q, shape, p.rows[CLEAR_OUT], block, columns, out, real);
}

}  // namespace clear_cuda
