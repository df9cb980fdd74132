// Backward of local beats and class tokens, and of what every beat shares with its lead's class token.
#pragma once

#include "columns.cuh"

namespace clear_cuda {

template <typename Tile> struct ColumnsBackwardShared {
  using T = typename Tile::Element;
  using W = typename Tile::Weight;
  T *class_q, *class_k, *class_v, *class_dout; // [rows, ld]
  float *class_sums;                           // [3, L, padded]: dq, dk, dv over the columns so far
  float *class_lse, *class_delta;              // [rows]
  // Per warp and lead, [warps, rows]: logit gradients of class query and beat key, and of beat query and class key;
  // dropped-out probabilities of the same two.
  float *class_slope, *own_slope, *class_weight, *own_weight;
  T *q, *k, *v, *dout, *out; // [rows, ld], of this warp's column; `out` later holds results
  W *weights, *slopes;       // [rows, weight_ld]: dropped-out probabilities, and gradients of the logits
  int weight_ld;

  __host__ __device__ ColumnsBackwardShared(Carver &carver, const TileShape &shape, int leads, int rows, int warps,
                                            int warp) {
    const int tile = rows * shape.ld;
    class_q = carver.take<T>(4 * tile);
    class_k = class_q + tile;
    class_v = class_k + tile;
    class_dout = class_v + tile;
    class_sums = carver.take<float>(3 * leads * shape.padded);
    class_lse = carver.take<float>(rows);
    class_delta = carver.take<float>(rows);
    class_slope = carver.take<float>(warps * rows);
    own_slope = carver.take<float>(warps * rows);
    own_weight = carver.take<float>(warps * rows);
    class_weight = carver.take<float>(warps * rows);
    q = carver.take<T>(warps * 5 * tile) + warp * 5 * tile;
    k = q + tile;
    v = k + tile;
    dout = v + tile;
    out = dout + tile;
    weight_ld = rows + Tile::kWeightPad;
    weights = carver.take<W>(warps * 2 * rows * weight_ld) + warp * 2 * rows * weight_ld;
    slopes = weights + rows * weight_ld;
  }
};

// Probabilities and logit gradients of one column, and of its beats with the class tokens. One warp.
template <typename Tile, int kTiles>
__device__ void column_gradients(const ClearProblem &p, const ColumnsBlock &block,
                                 const ColumnsBackwardShared<Tile> &shared, const TileShape &shape,
                                 const Dropout<float> &dropout, const ColumnMasks &masks, int64_t column) {
  const LanePlace at;
  constexpr int kRows = kTiles * kTileRows;
  const float scale = static_cast<float>(p.scale);
  const float *row_lse = static_cast<const float *>(p.lse) + row_index(p, block.batch, block.head, 0);

#pragma unroll 1
  for (int r = 0; r < kTiles && r * kTileRows < p.leads; ++r) {
    const int offset = r * kTileRows * shape.ld;
    float delta[2], lse[2];
    Tile::paired(delta, shared.dout + offset, shared.out + offset, shape.ld, shape.padded);
    float s[kTiles][2][4], own[2], foreign[2];
    Tile::template column_scores<kTiles>(s, own, foreign, shared.q, shared.k, shared.class_q, shared.class_k, r,
                                         shape.ld, shape.padded);
    float dp[kTiles][2][4], own_dp[2], foreign_dp[2];
    Tile::template column_scores<kTiles>(dp, own_dp, foreign_dp, shared.dout, shared.v, shared.class_dout,
                                         shared.class_v, r, shape.ld, shape.padded);
    const int leads[2] = {r * kTileRows + at.g, r * kTileRows + at.g + 8};
    float own_factor[2], class_factor[2];
    class_factors(own_factor, class_factor, dropout, p, leads[0], column);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int lead = leads[i];
      const bool valid = masks.is_valid(lead);
      lse[i] = valid ? row_lse[beat_position(p, lead, column)] : 0.0f;
      const float own_weight = valid ? exponential(product(own[i], scale) - lse[i]) : 0.0f;
      const float class_weight = valid ? exponential(product(foreign[i], scale) - shared.class_lse[lead]) : 0.0f;
      if (at.t != 0) continue;
      const int index = block.warp * kRows + lead;
      shared.class_slope[index] = class_weight * (class_factor[i] * foreign_dp[i] - shared.class_delta[lead]) * scale;
      shared.own_slope[index] = own_weight * (own_factor[i] * own_dp[i] - delta[i]) * scale;
      shared.own_weight[index] = own_weight * own_factor[i];
      shared.class_weight[index] = class_weight * class_factor[i];
    }
    const uint32_t kept = dropout.on() ? column_bits<kTiles>(dropout, p, leads[0], column) : 0;
    if (dropout.on()) drop<kTiles>(dp, dropout, kept);
    const bool local[2] = {masks.is_local(leads[0]), masks.is_local(leads[1])};
#pragma unroll
    for (int i = 0; i < 8 * kTiles; ++i) {
      const int n = i / 8, h = i / 4 % 2, e = i % 4;
      const bool allowed = local[e / 2] && masks.has_key(at, n, h, e);
      s[n][h][e] = allowed ? exponential(product(s[n][h][e], scale) - lse[e / 2]) : 0.0f;
      dp[n][h][e] = s[n][h][e] * (dp[n][h][e] - delta[e / 2]) * scale;
    }
    if (dropout.on()) drop<kTiles>(s, dropout, kept);
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      const int place = r * kTileRows * shared.weight_ld + n * kTileRows;
      Tile::put(shared.weights + place, shared.weight_ld, s[n]);
      Tile::put(shared.slopes + place, shared.weight_ld, dp[n]);
    }
  }
}

// One gradient of a column: m source + diag(class_factor) class_source (+ extra), where m is `matrix` or its transpose.
template <typename Tile> struct Combination {
  using T = typename Tile::Element;
  const typename Tile::Weight *matrix;
  bool transposed;
  const T *source, *class_source;
  const float *class_factor; // [rows]
  uint64_t real, stored;     // rows that are not zero; rows to write
  const float *extra;        // of global rows: [L * T, D] from this column on; or null
  int tensor;                // where it goes
};

// dv, dk and dq, in this order, which leaves `slopes` for last.
template <typename Tile>
__device__ __forceinline__ Combination<Tile>
combination(int which, const ColumnsArguments &args, const ColumnsBlock &block,
            const ColumnsBackwardShared<Tile> &shared, int rows, const ColumnMasks &masks, int64_t column) {
  const ClearProblem &p = args.problem;
  const int first = block.warp * rows;
  const uint64_t leads = all_leads(p), globals = masks.valid & ~masks.local;
  const int64_t offset = ((block.batch * p.heads + block.head) * beat_count(p) + column) * p.dim;
  const float *extra = which == 0 ? args.global_dv : which == 1 ? args.global_dk : nullptr;
  if (extra != nullptr) extra += offset;
  if (which == 0) {
    return {shared.weights, true,  shared.dout, shared.class_dout, shared.class_weight + first,
            masks.valid,    leads, extra,       CLEAR_DV};
  }
  if (which == 1) {
    return {shared.slopes, true,  shared.q, shared.class_q, shared.class_slope + first,
            masks.valid,   leads, extra,    CLEAR_DK};
  }
  return {shared.slopes,    false, shared.k, shared.class_k, shared.own_slope + first, masks.local,
          leads & ~globals, extra, CLEAR_DQ};
}

// dq, dk and dv of one column to global memory. One warp; `out` is free by now and collects the rows.
template <typename Tile, int kTiles>
__device__ __forceinline__ void store_column_gradients(const ColumnsArguments &args, const ColumnsBlock &block,
                                                       const ColumnsBackwardShared<Tile> &shared,
                                                       const TileShape &shape, const ColumnMasks &masks,
                                                       int64_t column) {
  const ClearProblem &p = args.problem;
  constexpr int kRows = kTiles * kTileRows;
  const LanePlace at;
  const int ld = shared.weight_ld, tiles = kTiles == 1 ? 1 : (p.leads + kTileRows - 1) / kTileRows;
#pragma unroll 1
  for (int which = 0; which < 3; ++which) {
    const Combination<Tile> c = combination<Tile>(which, args, block, shared, kRows, masks, column);
#pragma unroll 1
    for (int r = 0; r < kTiles && r * kTileRows < p.leads; ++r) {
      const int leads[2] = {r * kTileRows + at.g, r * kTileRows + at.g + 8}, offset = r * kTileRows * shape.ld;
      const float factor[2] = {c.class_factor[leads[0]], c.class_factor[leads[1]]};
      const bool real[2] = {(c.real >> leads[0] & 1) != 0, (c.real >> leads[1] & 1) != 0};
      const auto *matrix = c.matrix + r * kTileRows * (c.transposed ? 1 : ld);
#pragma unroll 1
      for (int d = 0; d < shape.padded; d += 16 * kColumnPieces) {
        const int pieces = (shape.padded - d) / 16;
        float sum[kColumnPieces][2][4];
        clear(sum);
        Tile::template multiply_stored<kColumnPieces>(sum, matrix, ld, c.transposed, tiles, c.source + d, shape.ld,
                                                      pieces);
        Tile::template add_paired<kColumnPieces>(sum, factor, c.class_source + offset + d, shape.ld, pieces);
        if (c.extra != nullptr) {
#pragma unroll
          for (int i = 0; i < 8 * kColumnPieces; ++i) {
            const int j = i / 8, h = i / 4 % 2, e = i % 4, lead = leads[e / 2];
            const int x = d + 16 * j + Tile::first_column(at, h) + e % 2;
            if (masks.is_global(lead) && x < p.dim) sum[j][h][e] += c.extra[lead * p.beats * p.dim + x];
          }
        }
        put_elements<Tile, kColumnPieces>(shared.out + offset + d, shape.ld, sum, pieces, real);
      }
    }
    __syncwarp();
    store_column(shared.out, shape, p, p.rows[c.tensor], block, kRows, column, c.stored);
    __syncwarp();
  }
}

// Log-sum-exp and delta of the class rows, and the gradients of their attention to themselves (in the first chunk).
template <typename Tile>
__device__ void begin_class_gradients(const ClearProblem &p, const ColumnsBlock &block,
                                      const ColumnsBackwardShared<Tile> &shared, const TileShape &shape,
                                      const Dropout<float> &dropout, int rows, int warps) {
  using T = typename Tile::Element;
  const LanePlace at;
  const float scale = static_cast<float>(p.scale);
  const float *row_lse = static_cast<const float *>(p.lse) + row_index(p, block.batch, block.head, 0);
  for (int lead = block.warp; lead < rows; lead += warps) {
    float delta = 0.0f;
    if (lead < p.leads) {
      const T *out = token_row<const T>(p.rows[CLEAR_OUT], block.batch, block.head, lead);
      for (int d = block.lane; d < p.dim; d += 32) {
        delta = fmaf(widen(shared.class_dout[lead * shape.ld + d]), widen(out[d]), delta);
      }
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) delta += __shfl_xor_sync(kWholeWarp, delta, step);
    if (block.lane == 0) {
      shared.class_delta[lead] = delta;
      shared.class_lse[lead] = lead < p.leads ? row_lse[lead] : 0.0f;
    }
  }
  __syncthreads();
  // The slots of the first warp's column hold the tokens' own weight and slope for a moment.
  for (int r = block.warp; r < rows / kTileRows; r += warps) {
    const int offset = r * kTileRows * shape.ld;
    float self[2], dself[2];
    Tile::paired(self, shared.class_q + offset, shared.class_k + offset, shape.ld, shape.padded);
    Tile::paired(dself, shared.class_dout + offset, shared.class_v + offset, shape.ld, shape.padded);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int lead = r * kTileRows + at.g + 8 * i;
      if (at.t != 0 || lead >= p.leads) continue;
      const float factor = dropout.of(lead, lead);
      const float weight = block.chunk == 0 ? exponential(product(self[i], scale) - shared.class_lse[lead]) : 0.0f;
      shared.own_weight[lead] = weight * factor;
      shared.own_slope[lead] = weight * (factor * dself[i] - shared.class_delta[lead]) * scale;
    }
  }
  __syncthreads();
  const int size = p.leads * shape.padded;
#pragma unroll 1
  for (int i = block.thread; i < size; i += block.threads) {
    const int lead = i / shape.padded, x = lead * shape.ld + i % shape.padded;
    shared.class_sums[i] = shared.own_slope[lead] * widen(shared.class_k[x]);
    shared.class_sums[i + size] = shared.own_slope[lead] * widen(shared.class_q[x]);
    shared.class_sums[i + 2 * size] = shared.own_weight[lead] * widen(shared.class_dout[x]);
  }
}

// Adds `columns` columns, one per warp, to the gradients of the class tokens, in the order of the columns.
template <typename Tile>
__device__ void advance_class_gradients(const ClearProblem &p, const ColumnsBlock &block,
                                        const ColumnsBackwardShared<Tile> &shared, const TileShape &shape, int rows,
                                        int columns) {
  const int quads = shape.padded / 4, tile = rows * shape.ld, stride = 5 * tile;
  const auto *first = shared.q - block.warp * stride;
#pragma unroll 1
  for (int i = block.thread; i < p.leads * quads; i += block.threads) {
    const int lead = i / quads, d = i % quads * 4;
    float4 *dq = reinterpret_cast<float4 *>(shared.class_sums + lead * shape.padded + d);
    float4 *dk = dq + p.leads * quads, *dv = dk + p.leads * quads;
    float4 sums[3] = {*dq, *dk, *dv};
#pragma unroll 2
    for (int w = 0; w < columns; ++w) {
      const auto *q = first + w * stride + lead * shape.ld + d;
      add4(sums[0], shared.class_slope[w * rows + lead], widen4(q + tile));
      add4(sums[1], shared.own_slope[w * rows + lead], widen4(q));
      add4(sums[2], shared.own_weight[w * rows + lead], widen4(q + 3 * tile));
    }
    *dq = sums[0];
    *dk = sums[1];
    *dv = sums[2];
  }
}

template <typename Tile>
__device__ void finish_class_gradients(const ColumnsArguments &args, const ColumnsBlock &block,
                                       const ColumnsBackwardShared<Tile> &shared, const TileShape &shape) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const int size = p.leads * p.dim;
#pragma unroll 1
  for (int which = 0; which < 3; ++which) {
    const float *sums = shared.class_sums + which * p.leads * shape.padded;
#pragma unroll 1
    for (int i = block.thread; i < size; i += block.threads) {
      const int lead = i / p.dim, d = i % p.dim;
      const float value = sums[lead * shape.padded + d];
      if (args.plan.chunks == 1) {
        token_row<T>(p.rows[CLEAR_DQ + which], block.batch, block.head, lead)[d] = narrow<T>(value);
      } else {
        args.partials.rows[(block.chunk_index(p, args.plan) * 3 + which) * size + i] = value;
      }
    }
  }
}

template <typename Tile, int kTiles>
__global__ void __launch_bounds__(kColumnThreads, kColumnBlocks<kTiles>)
    columns_backward(const __grid_constant__ ColumnsArguments args) {
  constexpr int kRows = kTiles * kTileRows;
  const ClearProblem &p = args.problem;
  const int warps = args.plan.warps;
  const ColumnsBlock block(p, args.plan);
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  const Dropout<float> dropout = {p, block.batch, block.head};
  Carver carver{dynamic_shared()};
  const ColumnsBackwardShared<Tile> shared(carver, shape, p.leads, kRows, warps, block.warp);

  stage_class_rows(shared.class_q, shape, p, 4, block, kRows);
  for (int64_t first = block.begin; first < block.end; first += warps) {
    const int64_t column = first + block.warp;
    ColumnMasks masks{};
    if (column < block.end) {
      masks = ColumnMasks::read<kTiles>(p, block.batch, column);
      stage_column(shared.q, shape, p, 5, block, kRows, column, masks.valid, masks.valid);
    }
    copy_commit();
    copy_wait<0>();
    if (first == block.begin) {
      __syncthreads();
      begin_class_gradients<Tile>(p, block, shared, shape, dropout, kRows, warps);
      __syncthreads();
    }
    __syncwarp();
    if (column < block.end) {
      column_gradients<Tile, kTiles>(p, block, shared, shape, dropout, masks, column);
      __syncwarp();
      store_column_gradients<Tile, kTiles>(args, block, shared, shape, masks, column);
    }
    __syncthreads();
    const int64_t left = block.end - first;
    advance_class_gradients<Tile>(p, block, shared, shape, kRows, left < warps ? static_cast<int>(left) : warps);
    __syncthreads();
  }
  finish_class_gradients<Tile>(args, block, shared, shape);
}

} // namespace clear_cuda
