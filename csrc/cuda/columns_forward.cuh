// Forward of local beats and class tokens.
#pragma once

#include "columns.cuh"

namespace clear_cuda {

template <typename Tile> struct ColumnsForwardShared {
  using T = typename Tile::Element;
  T *class_q, *class_k, *class_v; // [rows, ld]
  float *class_out;               // [L, padded]: weighted values of the class rows so far
  float *class_max, *class_sum;   // [2, rows]: before and after this group of columns
  float *logits, *factors;        // [warps, rows]: of class rows to the beats of each warp; dropout factors
  T *q, *k, *v;                   // [rows, ld], of this warp's column
  typename Tile::Weight *weights; // [16, weight_ld]: probabilities of a row of tiles, this warp's
  int weight_ld;

  __host__ __device__ ColumnsForwardShared(Carver &carver, const TileShape &shape, int leads, int rows, int warps,
                                           int warp) {
    const int tile = rows * shape.ld;
    class_q = carver.take<T>(3 * tile);
    class_k = class_q + tile;
    class_v = class_k + tile;
    class_out = carver.take<float>(leads * shape.padded);
    class_max = carver.take<float>(2 * rows);
    class_sum = carver.take<float>(2 * rows);
    logits = carver.take<float>(warps * rows);
    factors = carver.take<float>(warps * rows);
    q = carver.take<T>(warps * 3 * tile) + warp * 3 * tile;
    k = q + tile;
    v = k + tile;
    weight_ld = rows + Tile::kWeightPad;
    weights = carver.take<typename Tile::Weight>(warps * kTileRows * weight_ld) + warp * kTileRows * weight_ld;
  }
};

// Attention of the local rows of one column, and the logits of the class rows to its beats. One warp.
template <typename Tile, int kTiles>
__device__ void forward_column(const ClearProblem &p, const ColumnsBlock &block,
                               const ColumnsForwardShared<Tile> &shared, const TileShape &shape,
                               const Dropout<float> &dropout, const ColumnMasks &masks, int64_t column) {
  const LanePlace at;
  constexpr int kRows = kTiles * kTileRows;
  const float scale = static_cast<float>(p.scale);
  float *lse = static_cast<float *>(p.lse) + row_index(p, block.batch, block.head, 0);

#pragma unroll 1
  for (int r = 0; r < kTiles && r * kTileRows < p.leads; ++r) {
    float s[kTiles][2][4], own[2], foreign[2];
    Tile::template column_scores<kTiles>(s, own, foreign, shared.q, shared.k, shared.class_q, shared.class_k, r,
                                         shape.ld, shape.padded);
    const int leads[2] = {r * kTileRows + at.g, r * kTileRows + at.g + 8};
    const bool real[2] = {masks.is_valid(leads[0]), masks.is_valid(leads[1])};
    float max[2], sum[2], own_factor[2], foreign_factor[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) max[i] = own[i] = product(own[i], scale);
#pragma unroll
    for (int i = 0; i < 8 * kTiles; ++i) {
      const int n = i / 8, h = i / 4 % 2, e = i % 4;
      s[n][h][e] = masks.has_key(at, n, h, e) ? product(s[n][h][e], scale) : -infinity<float>();
      max[e / 2] = larger(max[e / 2], s[n][h][e]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      max[i] = quad_max(max[i]);
      own[i] = exponential(own[i] - max[i]);
      sum[i] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 8 * kTiles; ++i) {
      const int n = i / 8, h = i / 4 % 2, e = i % 4;
      s[n][h][e] = exponential(s[n][h][e] - max[e / 2]);
      sum[e / 2] += s[n][h][e];
    }
    if (dropout.on()) drop<kTiles>(s, dropout, column_bits<kTiles>(dropout, p, leads[0], column));
    class_factors(own_factor, foreign_factor, dropout, p, leads[0], column);

#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int lead = leads[i];
      sum[i] = quad_sum(sum[i]) + own[i];
      const float normalise = 1.0f / sum[i];
      own[i] *= normalise * own_factor[i];
#pragma unroll
      for (int j = 0; j < 4 * kTiles; ++j) s[j / 4][j / 2 % 2][j % 2 + 2 * i] *= normalise;
      if (at.t == 0) {
        const int64_t position = beat_position(p, lead, column);
        shared.logits[block.warp * kRows + lead] = real[i] ? product(foreign[i], scale) : -infinity<float>();
        shared.factors[block.warp * kRows + lead] = foreign_factor[i];
        if (masks.is_local(lead)) lse[position] = max[i] + logarithm(sum[i]);
        if (lead < p.leads && !real[i]) lse[position] = infinity<float>();
      }
    }
    __syncwarp();
#pragma unroll
    for (int n = 0; n < kTiles; ++n) Tile::put(shared.weights + n * kTileRows, shared.weight_ld, s[n]);
    __syncwarp();

    const int offset = r * kTileRows * shape.ld, tiles = kTiles == 1 ? 1 : (p.leads + kTileRows - 1) / kTileRows;
#pragma unroll 1
    for (int d = 0; d < shape.padded; d += 16 * kColumnPieces) {
      const int pieces = (shape.padded - d) / 16;
      float out[kColumnPieces][2][4];
      clear(out);
      Tile::template multiply_stored<kColumnPieces>(out, shared.weights, shared.weight_ld, false, tiles, shared.v + d,
                                                    shape.ld, pieces);
      Tile::template add_paired<kColumnPieces>(out, own, shared.class_v + offset + d, shape.ld, pieces);
      put_elements<Tile, kColumnPieces>(shared.q + offset + d, shape.ld, out, pieces, real);
    }
  }
}

// The class rows as they start in this chunk: the first one holds each token's attention to itself.
template <typename Tile>
__device__ void begin_class_rows(const ClearProblem &p, const ColumnsBlock &block,
                                 const ColumnsForwardShared<Tile> &shared, const TileShape &shape,
                                 const Dropout<float> &dropout, int rows, int warps) {
  const LanePlace at;
  const bool first = block.chunk == 0;
  for (int r = block.warp; r < rows / kTileRows; r += warps) {
    const int offset = r * kTileRows * shape.ld;
    float self[2];
    Tile::paired(self, shared.class_q + offset, shared.class_k + offset, shape.ld, shape.padded);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int lead = r * kTileRows + at.g + 8 * i;
      if (at.t == 0) {
        shared.class_max[lead] = first ? product(self[i], static_cast<float>(p.scale)) : -infinity<float>();
        shared.class_sum[lead] = first ? 1.0f : 0.0f;
      }
    }
  }
  for (int i = block.thread; i < p.leads * shape.padded; i += block.threads) {
    const int lead = i / shape.padded;
    const float factor = first ? dropout.of(lead, lead) : 0.0f;
    shared.class_out[i] = factor * widen(shared.class_v[lead * shape.ld + i % shape.padded]);
  }
}

// Adds `columns` columns, one per warp, to the class rows. State number `turn` is read, the other written.
template <typename Tile>
__device__ void advance_class_rows(const ClearProblem &p, const ColumnsBlock &block,
                                   const ColumnsForwardShared<Tile> &shared, const TileShape &shape, int rows,
                                   int columns, int turn) {
  const int quads = shape.padded / 4, stride = 3 * rows * shape.ld;
  const auto *values = shared.v - block.warp * stride;
  for (int i = block.thread; i < p.leads * quads; i += block.threads) {
    const int lead = i / quads, d = i % quads * 4;
    const float old_max = shared.class_max[turn * rows + lead];
    float max = old_max;
    for (int w = 0; w < columns; ++w) max = larger(max, shared.logits[w * rows + lead]);
    // With no valid beat so far, in a chunk that does not hold the token itself, there is nothing to scale.
    const float base = max == -infinity<float>() ? 0.0f : max;
    const float kept = exponential(old_max - base);
    float sum = kept * shared.class_sum[turn * rows + lead];
    float4 *target = reinterpret_cast<float4 *>(shared.class_out + lead * shape.padded + d);
    float4 out = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    add4(out, kept, *target);
    for (int w = 0; w < columns; ++w) {
      const float weight = exponential(shared.logits[w * rows + lead] - base);
      sum += weight;
      add4(out, weight * shared.factors[w * rows + lead], widen4(values + w * stride + lead * shape.ld + d));
    }
    *target = out;
    if (d == 0) {
      shared.class_max[(1 - turn) * rows + lead] = max;
      shared.class_sum[(1 - turn) * rows + lead] = sum;
    }
  }
}

template <typename Tile>
__device__ void finish_class_rows(const ColumnsArguments &args, const ColumnsBlock &block,
                                  const ColumnsForwardShared<Tile> &shared, const TileShape &shape, int rows,
                                  int turn) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const float *max = shared.class_max + turn * rows, *sum = shared.class_sum + turn * rows;
  const int64_t part = block.chunk_index(p, args.plan) * p.leads;
  const bool whole = args.plan.chunks == 1;
  for (int i = block.thread; i < p.leads * p.dim; i += block.threads) {
    const int lead = i / p.dim, d = i % p.dim;
    const float value = shared.class_out[lead * shape.padded + d];
    if (whole) {
      token_row<T>(p.rows[CLEAR_OUT], block.batch, block.head, lead)[d] = narrow<T>(value / sum[lead]);
    } else {
      args.partials.rows[part * p.dim + i] = value;
    }
  }
  float *lse = static_cast<float *>(p.lse) + row_index(p, block.batch, block.head, 0);
  for (int lead = block.thread; lead < p.leads; lead += block.threads) {
    if (whole) {
      lse[lead] = max[lead] + logarithm(sum[lead]);
    } else {
      args.partials.max[part + lead] = max[lead];
      args.partials.sum[part + lead] = sum[lead];
    }
  }
}

template <typename Tile, int kTiles>
__global__ void __launch_bounds__(kColumnThreads, kColumnBlocks<kTiles>)
    columns_forward(const __grid_constant__ ColumnsArguments args) {
  constexpr int kRows = kTiles * kTileRows;
  const ClearProblem &p = args.problem;
  const int warps = args.plan.warps;
  const ColumnsBlock block(p, args.plan);
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  const Dropout<float> dropout = {p, block.batch, block.head};
  Carver carver{dynamic_shared()};
  const ColumnsForwardShared<Tile> shared(carver, shape, p.leads, kRows, warps, block.warp);

  stage_class_rows(shared.class_q, shape, p, 3, block, kRows);
  int turn = 0;
  for (int64_t first = block.begin; first < block.end; first += warps) {
    const int64_t column = first + block.warp;
    ColumnMasks masks{};
    if (column < block.end) {
      masks = ColumnMasks::read<kTiles>(p, block.batch, column);
      stage_column(shared.q, shape, p, 3, block, kRows, column, masks.local, masks.valid);
    }
    copy_commit();
    copy_wait<0>();
    if (first == block.begin) {
      __syncthreads();
      begin_class_rows<Tile>(p, block, shared, shape, dropout, kRows, warps);
    }
    __syncwarp();
    if (column < block.end) {
      forward_column<Tile, kTiles>(p, block, shared, shape, dropout, masks, column);
      __syncwarp();
      store_column(shared.q, shape, p, p.rows[CLEAR_OUT], block, kRows, column,
                   all_leads(p) & ~(masks.valid & ~masks.local));
    }
    __syncthreads();
    const int64_t left = block.end - first;
    advance_class_rows<Tile>(p, block, shared, shape, kRows, left < warps ? static_cast<int>(left) : warps, turn);
    __syncthreads();
    turn = 1 - turn;
  }
  finish_class_rows<Tile>(args, block, shared, shape, kRows, turn);
}

} // namespace clear_cuda
