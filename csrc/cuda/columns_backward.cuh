// Backward of local beats and class tokens, and of what every beat shares with its lead's class token.
#pragma once

#include "columns.cuh"

namespace clear_cuda {

template <typename Tile> struct ColumnsBackwardShared {
  using T = typename Tile::Element;
  using W = typename Tile::Weight;
  T *class_q, *class_k, *class_v, *class_dout; // [L, ld]
  HeadBases bases;
  float *class_sums;              // [3, L, padded]: dq, dk, dv over the columns so far
  float *class_lse, *class_delta; // [rows]
  // Per warp and lead, [warps, rows]: logit gradients of class query and beat key, and of beat query and class key;
  // dropped-out probabilities of the same two. `own_slope` first holds the deltas of the beats.
  float *class_slope, *own_slope, *class_weight, *own_weight;
  T *q, *k, *v, *dout;   // [L, ld], of this warp's column; `v` later holds results
  T *out;                // [L, ld]; where `weights` and `slopes` come to lie once the deltas are known
  W *weights, *slopes;   // [rows, weight_ld]: dropped-out probabilities, and gradients of the logits
  int weight_ld, stride; // elements from one warp's tiles to the next warp's

  __host__ __device__ ColumnsBackwardShared(Carver &carver, const TileShape &shape, int leads, int rows, int warps,
                                            int warp) {
    const int tile = leads * shape.ld;
    class_q = carver.take<T>(4 * tile);
    class_k = class_q + tile;
    class_v = class_k + tile;
    class_dout = class_v + tile;
    bases.first = carver.take<unsigned char *>(CLEAR_TENSORS);
    class_sums = carver.take<float>(3 * leads * shape.padded);
    class_lse = carver.take<float>(rows);
    class_delta = carver.take<float>(rows);
    class_slope = carver.take<float>(warps * rows);
    own_slope = carver.take<float>(warps * rows);
    own_weight = carver.take<float>(warps * rows);
    class_weight = carver.take<float>(warps * rows);
    weight_ld = rows + Tile::kWeightPad;
    static_assert(sizeof(T) == sizeof(W), "the two share memory");
    const int stored = 2 * rows * weight_ld;
    stride = 4 * tile + (stored > tile ? stored : tile);
    q = carver.take<T>(warps * stride) + warp * stride;
    k = q + tile;
    v = k + tile;
    dout = v + tile;
    out = dout + tile;
    weights = out;
    slopes = weights + rows * weight_ld;
  }
};

// The deltas of a column's rows, rowsum(dout * out), into `own_slope`. One warp.
template <typename Tile, int kTiles>
__device__ __forceinline__ void column_deltas(const ClearProblem &p, const ColumnsBlock &block,
                                              const ColumnsBackwardShared<Tile> &shared, const TileShape &shape) {
  const LanePlace at;
#pragma unroll 1
  for (int r = 0; r < kTiles && r * kTileRows < p.leads; ++r) {
    float delta[2];
    Tile::paired(delta, {shared.dout, shape.ld, p.leads}, {shared.out, shape.ld, p.leads}, r * kTileRows, shape.padded);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (at.t == 0) shared.own_slope[(block.warp * kTiles + r) * kTileRows + at.g + 8 * i] = delta[i];
    }
  }
}

// Probabilities and logit gradients of one column, and of its beats with the class tokens. One warp. row_lse: [L, T] of
// this head.
template <typename Tile, int kTiles>
__device__ __forceinline__ void column_gradients(const ClearProblem &p, const ColumnsBlock &block,
                                                 const ColumnsBackwardShared<Tile> &shared, const TileShape &shape,
                                                 const Dropout<float> &dropout, const ColumnMasks<kTiles> &masks,
                                                 const float *row_lse, int64_t column) {
  using T = typename Tile::Element;
  const LanePlace at;
  constexpr int kRows = kTiles * kTileRows;
  const float scale = static_cast<float>(p.scale);
  const auto rows_of = [&](const T *tile) { return TileRows<T>{tile, shape.ld, p.leads}; };

#pragma unroll 1
  for (int r = 0; r < kTiles && r * kTileRows < p.leads; ++r) {
    float s[kTiles][2][4], own[2], foreign[2];
    Tile::template column_scores<kTiles>(s, own, foreign, rows_of(shared.q), rows_of(shared.k), rows_of(shared.class_q),
                                         rows_of(shared.class_k), r, shape.padded);
    float dp[kTiles][2][4], own_dp[2], foreign_dp[2];
    Tile::template column_scores<kTiles>(dp, own_dp, foreign_dp, rows_of(shared.dout), rows_of(shared.v),
                                         rows_of(shared.class_dout), rows_of(shared.class_v), r, shape.padded);
    float delta[2], lse[2];
    const int leads[2] = {r * kTileRows + at.g, r * kTileRows + at.g + 8};
    float own_factor[2], class_factor[2];
    class_factors(own_factor, class_factor, dropout, p, leads[0], column);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int lead = leads[i];
      const bool valid = masks.is_valid(lead);
      const int index = block.warp * kRows + lead;
      delta[i] = shared.own_slope[index];
      lse[i] = valid ? row_lse[lead * p.beats + column] : 0.0f;
      const float own_weight = valid ? exponential_from(product(own[i], scale), lse[i]) : 0.0f;
      const float class_weight = valid ? exponential_from(product(foreign[i], scale), shared.class_lse[lead]) : 0.0f;
      __syncwarp();
      if (at.t != 0) continue;
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
      s[n][h][e] = allowed ? exponential_from(product(s[n][h][e], scale), lse[e / 2]) : 0.0f;
      dp[n][h][e] = allowed ? s[n][h][e] * (dp[n][h][e] - delta[e / 2]) * scale : 0.0f;
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
template <typename Tile, int kTiles> struct Combination {
  using T = typename Tile::Element;
  const typename Tile::Weight *matrix;
  bool transposed;
  const T *source, *class_source;
  const float *class_factor;     // [rows]
  LeadBits<kTiles> real, stored; // rows that are not zero; rows to write
  const float *extra;            // of global rows: [L * T, D] from this column on; or null
  int tensor;                    // where it goes
};

// dv, dk and dq, in this order, which leaves `slopes` for last.
template <typename Tile, int kTiles>
__device__ __forceinline__ Combination<Tile, kTiles>
combination(int which, const ColumnsArguments &args, const ColumnsBlock &block,
            const ColumnsBackwardShared<Tile> &shared, int rows, const ColumnMasks<kTiles> &masks, int64_t column) {
  const ClearProblem &p = args.problem;
  const int first = block.warp * rows;
  const LeadBits<kTiles> leads = masks.all(p.leads);
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
  return {
      shared.slopes, false,   shared.k, shared.class_k, shared.own_slope + first, masks.local, leads & ~masks.globals(),
      extra,         CLEAR_DQ};
}

// dq, dk and dv of one column to global memory. One warp; `v` is free by now and collects the rows.
template <typename Tile, int kTiles>
__device__ __forceinline__ void store_column_gradients(const ColumnsArguments &args, const ColumnsBlock &block,
                                                       const ColumnsBackwardShared<Tile> &shared,
                                                       const TileShape &shape, const ColumnMasks<kTiles> &masks,
                                                       int64_t column) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  constexpr int kRows = kTiles * kTileRows;
  const LanePlace at;
  const int ld = shared.weight_ld, tiles = kTiles == 1 ? 1 : (p.leads + kTileRows - 1) / kTileRows;
#pragma unroll kTiles == 1 ? 3 : 1
  for (int which = 0; which < 3; ++which) {
    const Combination<Tile, kTiles> c = combination<Tile, kTiles>(which, args, block, shared, kRows, masks, column);
    const TileRows<T> source = {c.source, shape.ld, p.leads}, class_source = {c.class_source, shape.ld, p.leads};
#pragma unroll 1
    for (int r = 0; r < kTiles && r * kTileRows < p.leads; ++r) {
      const int leads[2] = {r * kTileRows + at.g, r * kTileRows + at.g + 8};
      const float factor[2] = {c.class_factor[leads[0]], c.class_factor[leads[1]]};
      const bool real[2] = {(c.real >> leads[0] & 1) != 0, (c.real >> leads[1] & 1) != 0};
      const auto *matrix = c.matrix + r * kTileRows * (c.transposed ? 1 : ld);
#pragma unroll 1
      for (int d = 0; d < shape.padded; d += 16 * kColumnPieces) {
        const int pieces = (shape.padded - d) / 16;
        float sum[kColumnPieces][2][4];
        clear(sum);
        Tile::template multiply_stored<kColumnPieces>(sum, matrix, ld, c.transposed, tiles, source.from(d), pieces);
        Tile::template add_paired<kColumnPieces>(sum, factor, class_source.from(d), r * kTileRows, pieces);
        if (c.extra != nullptr) {
#pragma unroll
          for (int i = 0; i < 8 * kColumnPieces; ++i) {
            const int j = i / 8, h = i / 4 % 2, e = i % 4, lead = leads[e / 2];
            const int x = d + 16 * j + Tile::first_column(at, h) + e % 2;
            if (masks.is_global(lead) && x < p.dim) sum[j][h][e] += c.extra[lead * p.beats * p.dim + x];
          }
        }
        put_elements<Tile, kColumnPieces>(shared.v + d, shape.ld, r * kTileRows, p.leads, sum, pieces, real);
      }
    }
    __syncwarp();
    store_column<kTiles>(shared.v, shape, args, shared.bases, c.tensor, column, c.stored);
    __syncwarp();
  }
}

// Four columns of a class row at a time, handed out to the threads of a block in turn.
struct ClassQuads {
  int lead, quad, lead_step, quad_step, quads;

  __device__ ClassQuads(const TileShape &shape, const ColumnsBlock &block) : quads(shape.padded / 4) {
    lead = block.thread / quads;
    quad = block.thread % quads;
    lead_step = block.threads / quads;
    quad_step = block.threads % quads;
  }
  // Calls visit(lead, first column).
  template <typename Visit> __device__ __forceinline__ void each(int leads, Visit visit) const {
    int at_lead = lead, at_quad = quad;
#pragma unroll 1
    while (at_lead < leads) {
      visit(at_lead, 4 * at_quad);
      at_quad += quad_step;
      at_lead += lead_step + (at_quad >= quads ? 1 : 0);
      if (at_quad >= quads) at_quad -= quads;
    }
  }
};

// Log-sum-exp and delta of the class rows, and the gradients of their attention to themselves (in the first chunk).
template <typename Tile>
__device__ void begin_class_gradients(const ClearProblem &p, const ColumnsBlock &block,
                                      const ColumnsBackwardShared<Tile> &shared, const TileShape &shape,
                                      const ClassQuads &quads, const Dropout<float> &dropout, int rows, int warps) {
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
    const auto rows_of = [&](const T *tile) { return TileRows<T>{tile, shape.ld, p.leads}; };
    float self[2], dself[2];
    Tile::paired(self, rows_of(shared.class_q), rows_of(shared.class_k), r * kTileRows, shape.padded);
    Tile::paired(dself, rows_of(shared.class_dout), rows_of(shared.class_v), r * kTileRows, shape.padded);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int lead = r * kTileRows + at.g + 8 * i;
      if (at.t != 0 || lead >= p.leads) continue;
      const float factor = dropout.of(lead, lead);
      const float weight = block.chunk == 0 ? exponential_from(product(self[i], scale), shared.class_lse[lead]) : 0.0f;
      shared.own_weight[lead] = weight * factor;
      shared.own_slope[lead] = weight * (factor * dself[i] - shared.class_delta[lead]) * scale;
    }
  }
  __syncthreads();
  quads.each(p.leads, [&](int lead, int d) {
    const int x = lead * shape.ld + d, next = p.leads * shape.padded / 4;
    float4 *sums = reinterpret_cast<float4 *>(shared.class_sums + lead * shape.padded + d);
    sums[0] = scaled4(shared.own_slope[lead], widen4(shared.class_k + x));
    sums[next] = scaled4(shared.own_slope[lead], widen4(shared.class_q + x));
    sums[2 * next] = scaled4(shared.own_weight[lead], widen4(shared.class_dout + x));
  });
}

// Adds `columns` columns, one per warp, to the gradients of the class tokens, in the order of the columns.
template <typename Tile>
__device__ __forceinline__ void
advance_class_gradients(const ClearProblem &p, const ColumnsBlock &block, const ColumnsBackwardShared<Tile> &shared,
                        const TileShape &shape, const ClassQuads &quads, int rows, int columns) {
  const int tile = p.leads * shape.ld, stride = shared.stride;
  const auto *first = shared.q - block.warp * stride;
  quads.each(p.leads, [&](int lead, int d) {
    float4 *dq = reinterpret_cast<float4 *>(shared.class_sums + lead * shape.padded + d);
    const int next = p.leads * shape.padded / 4;
    float4 sums[3] = {dq[0], dq[next], dq[2 * next]};
    const auto *q = first + lead * shape.ld + d;
    const float *class_slope = shared.class_slope + lead, *own_slope = shared.own_slope + lead;
    const float *own_weight = shared.own_weight + lead;
#pragma unroll 2
    for (int w = 0; w < columns; ++w) {
      add4(sums[0], class_slope[w * rows], widen4(q + tile));
      add4(sums[1], own_slope[w * rows], widen4(q));
      add4(sums[2], own_weight[w * rows], widen4(q + 3 * tile));
      q += stride;
    }
    dq[0] = sums[0];
    dq[next] = sums[1];
    dq[2 * next] = sums[2];
  });
}

// Hands on the gradients of the class tokens.
template <typename Tile>
__device__ __forceinline__ void finish_class_gradients(const ColumnsArguments &args, const ColumnsBlock &block,
                                                       const ColumnsBackwardShared<Tile> &shared,
                                                       const TileShape &shape, const ClassQuads &quads) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const int64_t part = block.chunk_index(p, args.plan) * 3 * p.leads;
  quads.each(p.leads, [&](int lead, int d) {
#pragma unroll 1
    for (int which = 0; which < 3; ++which) {
      const int row = which * p.leads + lead;
      const float4 sum = *reinterpret_cast<const float4 *>(shared.class_sums + row * shape.padded + d);
      if (args.plan.chunks == 1) {
        store4(token_row<T>(p.rows[CLEAR_DQ + which], block.batch, block.head, lead), d, shape, sum);
      } else {
        store4(args.partials.rows + (part + row) * p.dim, d, shape, sum);
      }
    }
  });
}

template <typename Tile, int kTiles, int kDim>
__global__ void __launch_bounds__(kColumnThreads, (kColumnBlocks<kTiles, kDim>))
    columns_backward(const __grid_constant__ ColumnsArguments args) {
  using T = typename Tile::Element;
  constexpr int kRows = kTiles * kTileRows;
  const ClearProblem &p = args.problem;
  const int warps = args.plan.warps;
  const ColumnsBlock block(p, args.plan);
  const TileShape shape = known_shape<Tile, kDim>(p, args.plan);
  const Dropout<float> dropout = {p, block.batch, block.head};
  Carver carver{dynamic_shared()};
  const ColumnsBackwardShared<Tile> shared(carver, shape, p.leads, kRows, warps, block.warp);
  const ClassQuads quads(shape, block);
  const float *lse = static_cast<const float *>(p.lse) + row_index(p, block.batch, block.head, p.leads);

  LaneMarks<kTiles> marks(p, block.batch, block.begin + block.warp);
  shared.bases.template find<T>(p, block);
  stage_class_rows(shared.class_q, shape, p, 4, block);
  __syncthreads();
  for (int64_t first = block.begin; first < block.end; first += warps) {
    const int64_t column = first + block.warp;
    const ColumnMasks<kTiles> masks(marks);
    if (column < block.end) {
#pragma unroll 1
      for (int tensor = CLEAR_Q; tensor <= CLEAR_OUT; ++tensor) {
        T *tile = shared.q + tensor * p.leads * shape.ld;
        stage_column<kTiles>(tile, shape, args, shared.bases, tensor, column, masks.valid);
      }
    }
    copy_commit();
    marks = LaneMarks<kTiles>(p, block.batch, column + warps);
    copy_wait<0>();
    if (first == block.begin) {
      __syncthreads();
      begin_class_gradients<Tile>(p, block, shared, shape, quads, dropout, kRows, warps);
      __syncthreads();
    }
    __syncwarp();
    if (column < block.end) {
      column_deltas<Tile, kTiles>(p, block, shared, shape);
      __syncwarp();
      column_gradients<Tile, kTiles>(p, block, shared, shape, dropout, masks, lse, column);
      __syncwarp();
      store_column_gradients<Tile, kTiles>(args, block, shared, shape, masks, column);
    }
    __syncthreads();
    const int64_t left = block.end - first;
    advance_class_gradients<Tile>(p, block, shared, shape, quads, kRows, left < warps ? static_cast<int>(left) : warps);
    __syncthreads();
  }
  finish_class_gradients<Tile>(args, block, shared, shape, quads);
}

} // namespace clear_cuda
