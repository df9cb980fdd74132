// Forward of local beats and class tokens. The warps of a block work on their columns alone; each keeps a running
// softmax of the class rows over them, and these are put together at the end.
#pragma once

#include "columns.cuh"

namespace clear_cuda {

// What one warp knows of the class rows.
struct ClassState {
  float *out;           // [L, ld]: weighted values so far
  float *max, *sum;     // [rows]: largest logit and sum of the weights so far
  float *kept, *weight; // [rows]: factors of `out` and of the values of the present column
  int ld;

  // Rows of 16 floats more than a multiple of 32, so that two of them meet different banks.
  __host__ __device__ static int row_floats(const TileShape &shape) { return shape.padded | 16; }
  __host__ __device__ static int floats(const TileShape &shape, int leads, int rows) {
    return leads * row_floats(shape) + 4 * rows;
  }
  __host__ __device__ ClassState(float *data, const TileShape &shape, int leads, int rows)
      : out(data), max(data + leads * row_floats(shape)), sum(max + rows), kept(sum + rows), weight(kept + rows),
        ld(row_floats(shape)) {}
};

template <typename Tile> struct ColumnsForwardShared {
  using T = typename Tile::Element;
  T *class_q, *class_k, *class_v; // [L, ld]
  HeadBases bases;
  float *self;                    // [rows]: logits of the class tokens to themselves
  float *states;                  // [warps, ...]: a ClassState each
  T *q, *k, *v;                   // [L, ld], of this warp's column; `q` later holds results
  typename Tile::Weight *weights; // [16, weight_ld]: probabilities of a row of tiles, this warp's
  int leads, rows, weight_ld;

  // A single tile of probabilities stays in registers if the tensor cores take it from there.
  __host__ __device__ static constexpr bool in_registers(int rows) {
    return rows == kTileRows && Tile::kScratchRows == 0;
  }

  __host__ __device__ ColumnsForwardShared(Carver &carver, const TileShape &shape, int leads_, int rows_, int warps,
                                           int warp)
      : leads(leads_), rows(rows_), weight_ld(rows_ + Tile::kWeightPad) {
    const int tile = leads * shape.ld;
    class_q = carver.take<T>(3 * tile);
    class_k = class_q + tile;
    class_v = class_k + tile;
    bases.first = carver.take<unsigned char *>(CLEAR_TENSORS);
    self = carver.take<float>(rows);
    states = carver.take<float>(warps * ClassState::floats(shape, leads, rows));
    q = carver.take<T>(warps * 3 * tile) + warp * 3 * tile;
    k = q + tile;
    v = k + tile;
    const int scratch = in_registers(rows) ? 0 : kTileRows * weight_ld;
    weights = carver.take<typename Tile::Weight>(warps * scratch) + warp * scratch;
  }
  __device__ ClassState state(const TileShape &shape, int warp) const {
    return {states + warp * ClassState::floats(shape, leads, rows), shape, leads, rows};
  }
};

// Starts bringing a column to a warp's tiles; the queries of global rows are not wanted.
template <typename Tile, int kTiles>
__device__ __forceinline__ void stage_forward(const ColumnsArguments &args, const ColumnsForwardShared<Tile> &shared,
                                              const TileShape &shape, const ColumnMasks<kTiles> &masks,
                                              int64_t column) {
#pragma unroll
  for (int tensor = CLEAR_Q; tensor <= CLEAR_V; ++tensor) {
    stage_column<kTiles>(shared.q + tensor * shared.leads * shape.ld, shape, args, shared.bases, tensor, column,
                         tensor == CLEAR_Q ? masks.local : masks.valid);
  }
}

// Takes the logit of a class row to the present column into its running softmax.
__device__ __forceinline__ void advance_softmax(const ClassState &state, int lead, float logit, float factor) {
  const float old_max = state.max[lead], max = larger(old_max, logit);
  // With no valid beat so far there is nothing to scale.
  const float base = max == -infinity<float>() ? 0.0f : max;
  const float kept = exponential_from(old_max, base), weight = exponential_from(logit, base);
  state.max[lead] = max;
  state.sum[lead] = fmaf(kept, state.sum[lead], weight);
  state.kept[lead] = kept;
  state.weight[lead] = weight * factor;
}

// Attention of the local rows of one column, left in `q`, and the weights of the class rows to its beats. One warp.
// lse: [L, T] of this head.
template <typename Tile, int kTiles>
__device__ __forceinline__ void forward_column(const ClearProblem &p, const ColumnsForwardShared<Tile> &shared,
                                               const ClassState &state, const TileShape &shape,
                                               const Dropout<float> &dropout, const ColumnMasks<kTiles> &masks,
                                               float *lse, int64_t column) {
  using T = typename Tile::Element;
  const LanePlace at;
  const float scale = static_cast<float>(p.scale);
  const auto rows_of = [&](const T *tile) { return TileRows<T>{tile, shape.ld, p.leads}; };

#pragma unroll 1
  for (int r = 0; r < kTiles && r * kTileRows < p.leads; ++r) {
    float s[kTiles][2][4], own[2], foreign[2];
    Tile::template column_scores<kTiles>(s, own, foreign, rows_of(shared.q), rows_of(shared.k), rows_of(shared.class_q),
                                         rows_of(shared.class_k), r, shape.padded);
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
      own[i] = exponential_from(own[i], max[i]);
      sum[i] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 8 * kTiles; ++i) {
      const int n = i / 8, h = i / 4 % 2, e = i % 4;
      s[n][h][e] = exponential_from(s[n][h][e], max[e / 2]);
      sum[e / 2] += s[n][h][e];
    }
    if (dropout.on()) drop<kTiles>(s, dropout, column_bits<kTiles>(dropout, p, leads[0], column));
    class_factors(own_factor, foreign_factor, dropout, p, leads[0], column);

#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int lead = leads[i];
      sum[i] = quad_sum(sum[i]) + own[i];
      const float normalise = reciprocal(sum[i]);
      own[i] *= normalise * own_factor[i];
#pragma unroll
      for (int j = 0; j < 4 * kTiles; ++j) s[j / 4][j / 2 % 2][j % 2 + 2 * i] *= normalise;
      if (at.t != 0 || lead >= p.leads) continue;
      advance_softmax(state, lead, real[i] ? product(foreign[i], scale) : -infinity<float>(), foreign_factor[i]);
      if (masks.is_local(lead) || !real[i]) {
        lse[lead * p.beats + column] = real[i] ? max[i] + logarithm(sum[i]) : infinity<float>();
      }
    }
    if constexpr (!ColumnsForwardShared<Tile>::in_registers(kTiles * kTileRows)) {
      __syncwarp();
#pragma unroll
      for (int n = 0; n < kTiles; ++n) Tile::put(shared.weights + n * kTileRows, shared.weight_ld, s[n]);
    }
    __syncwarp();

    const int tiles = kTiles == 1 ? 1 : (p.leads + kTileRows - 1) / kTileRows;
    const TileRows<T> v = rows_of(shared.v), class_v = rows_of(shared.class_v);
#pragma unroll 4
    for (int d = 0; d < shape.padded; d += 16 * kColumnPieces) {
      const int pieces = (shape.padded - d) / 16;
      float out[kColumnPieces][2][4];
      clear(out);
      if constexpr (ColumnsForwardShared<Tile>::in_registers(kTiles * kTileRows)) {
        Tile::template multiply<kTiles, kColumnPieces>(out, s, tiles, v.from(d), pieces, nullptr);
      } else {
        Tile::template multiply_stored<kColumnPieces>(out, shared.weights, shared.weight_ld, false, tiles, v.from(d),
                                                      pieces);
      }
      Tile::template add_paired<kColumnPieces>(out, own, class_v.from(d), r * kTileRows, pieces);
      put_elements<Tile, kColumnPieces>(shared.q + d, shape.ld, r * kTileRows, p.leads, out, pieces, real);
    }
  }
}

// The class rows before any column.
__device__ __forceinline__ void begin_class_rows(const ClassState &state, const ColumnsBlock &block, int leads,
                                                 int rows) {
#pragma unroll 4
  for (int i = 4 * block.lane; i < leads * state.ld; i += 4 * 32) {
    *reinterpret_cast<float4 *>(state.out + i) = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  }
  for (int row = block.lane; row < rows; row += 32) {
    state.max[row] = -infinity<float>();
    state.sum[row] = 0.0f;
  }
}

// Adds the values of a warp's column to its class rows.
template <typename T>
__device__ __forceinline__ void advance_class_rows(const ClassState &state, const T *values, const TileShape &shape,
                                                   const ColumnsBlock &block, int leads) {
#pragma unroll 2
  for (int lead = block.lane / 4; lead < leads; lead += 8) {
    const float kept = state.kept[lead], weight = state.weight[lead];
    float *out = state.out + lead * state.ld + block.lane % 4 * 4;
    const T *value = values + lead * shape.ld + block.lane % 4 * 4;
#pragma unroll 8
    for (int d = 0; d < shape.padded; d += 16) {
      float4 sum = scaled4(kept, *reinterpret_cast<const float4 *>(out + d));
      add4(sum, weight, widen4(value + d));
      *reinterpret_cast<float4 *>(out + d) = sum;
    }
  }
}

// Puts the class rows of all warps together, with the token itself in the first chunk. Eight threads work on a row.
template <typename Tile>
__device__ __forceinline__ void finish_class_rows(const ColumnsArguments &args, const ColumnsBlock &block,
                                                  const ColumnsForwardShared<Tile> &shared, const TileShape &shape,
                                                  const Dropout<float> &dropout) {
  using T = typename Tile::Element;
  const ClearProblem &p = args.problem;
  const int warps = args.plan.warps;
  const bool whole = args.plan.chunks == 1, first = block.chunk == 0;
  const int64_t part = block.chunk_index(p, args.plan) * p.leads;
#pragma unroll 1
  for (int lead = block.thread / 8; lead < p.leads; lead += block.threads / 8) {
    const float self_logit = first ? shared.self[lead] : -infinity<float>();
    float max = self_logit;
    for (int w = 0; w < warps; ++w) max = larger(max, shared.state(shape, w).max[lead]);
    const float base = max == -infinity<float>() ? 0.0f : max;
    float sum = exponential(self_logit - base);
    const float self_weight = first ? sum * dropout.of(lead, lead) : 0.0f;
    const int quad = block.thread % 8 * 4;
    float4 out[kMaxDim / 32];
#pragma unroll
    for (int i = 0; i < kMaxDim / 32; ++i) {
      if (quad + 32 * i < shape.padded) {
        out[i] = scaled4(self_weight, widen4(shared.class_v + lead * shape.ld + quad + 32 * i));
      }
    }
#pragma unroll 1
    for (int w = 0; w < warps; ++w) {
      const ClassState state = shared.state(shape, w);
      const float factor = exponential(state.max[lead] - base);
      sum = fmaf(factor, state.sum[lead], sum);
#pragma unroll
      for (int i = 0; i < kMaxDim / 32; ++i) {
        if (quad + 32 * i >= shape.padded) break;
        add4(out[i], factor, *reinterpret_cast<const float4 *>(state.out + lead * state.ld + quad + 32 * i));
      }
    }
    const float normalise = whole ? reciprocal(sum) : 1.0f;
#pragma unroll
    for (int i = 0; i < kMaxDim / 32; ++i) {
      if (quad + 32 * i >= shape.dim) break;
      const float4 row = scaled4(normalise, out[i]);
      if (whole) {
        store4(token_row<T>(p.rows[CLEAR_OUT], block.batch, block.head, lead), quad + 32 * i, shape, row);
      } else {
        store4(args.partials.rows + (part + lead) * p.dim, quad + 32 * i, shape, row);
      }
    }
    if (block.thread % 8 != 0) continue;
    if (whole) {
      static_cast<float *>(p.lse)[row_index(p, block.batch, block.head, lead)] = max + logarithm(sum);
    } else {
      args.partials.max[part + lead] = max;
      args.partials.sum[part + lead] = sum;
    }
  }
}

template <typename Tile, int kTiles>
__global__ void __launch_bounds__(kColumnThreads, (kColumnBlocks<kTiles, 0>))
    columns_forward(const __grid_constant__ ColumnsArguments args) {
  using T = typename Tile::Element;
  constexpr int kRows = kTiles * kTileRows;
  const ClearProblem &p = args.problem;
  const int warps = args.plan.warps;
  const ColumnsBlock block(p, args.plan);
  const TileShape shape = tile_shape<Tile>(p.dim, args.plan.aligned);
  const Dropout<float> dropout = {p, block.batch, block.head};
  Carver carver{dynamic_shared()};
  const ColumnsForwardShared<Tile> shared(carver, shape, p.leads, kRows, warps, block.warp);
  const ClassState state = shared.state(shape, block.warp);

  int64_t column = block.begin + block.warp;
  ColumnMasks<kTiles> masks(LaneMarks<kTiles>(p, block.batch, column));
  shared.bases.template find<T>(p, block);
  stage_class_rows(shared.class_q, shape, p, 3, block);
  __syncthreads();
  if (column < block.end) stage_forward<Tile, kTiles>(args, shared, shape, masks, column);
  copy_commit();
  begin_class_rows(state, block, p.leads, kRows);
  copy_wait<0>();
  __syncthreads();
  for (int r = block.warp; r < kTiles; r += warps) {
    const LanePlace at;
    float self[2];
    Tile::paired(self, {shared.class_q, shape.ld, p.leads}, {shared.class_k, shape.ld, p.leads}, r * kTileRows,
                 shape.padded);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (at.t == 0) shared.self[r * kTileRows + at.g + 8 * i] = product(self[i], static_cast<float>(p.scale));
    }
  }
  float *lse = static_cast<float *>(p.lse) + row_index(p, block.batch, block.head, p.leads);
  while (column < block.end) {
    const LaneMarks<kTiles> next(p, block.batch, column + warps);
    forward_column<Tile, kTiles>(p, shared, state, shape, dropout, masks, lse, column);
    __syncwarp();
    store_column<kTiles, T>(shared.q, shape, args, shared.bases, CLEAR_OUT, column,
                            masks.all(p.leads) & ~masks.globals());
    advance_class_rows(state, shared.v, shape, block, p.leads);
    __syncwarp();
    column += warps;
    if (column >= block.end) break;
    masks = ColumnMasks<kTiles>(next);
    stage_forward<Tile, kTiles>(args, shared, shape, masks, column);
    copy_commit();
    copy_wait<0>();
    __syncwarp();
  }
  __syncthreads();
  finish_class_rows<Tile>(args, block, shared, shape, dropout);
}

} // namespace clear_cuda
