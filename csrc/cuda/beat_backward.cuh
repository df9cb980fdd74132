// Backward of local beats and class tokens in the usual shapes, see beat.cuh, and of what every beat shares with its
// lead's class token. While a warp works on a column, the next one comes to its other set of tiles.
#pragma once

#include "beat.cuh"

namespace clear_cuda {

// The four tensors that a column is made of, in the order of its tiles.
constexpr int kBeatInputs = CLEAR_DOUT + 1;

template <typename T, int kDim> struct BeatBackwardShared {
  using Layout = PaddedRows<kDim>;
  // Of the sums that a warp leaves in its own tiles in the end: rows in different banks.
  static constexpr int kSumLd = kDim + 8;
  T *class_q, *class_k, *class_v, *class_dout; // [L, ld]
  float *lse, *delta;                          // [16]: of the class rows
  float *self_weight, *self_slope;             // [16]: of the class tokens to themselves
  T *tiles;                                    // [warps, 2, 4, L, ld]
  int set_elements;

  __host__ __device__ BeatBackwardShared(Carver &carver, int leads, int warps) {
    const int tile = leads * kBeatLd<kDim>;
    class_q = carver.take<T>(4 * tile);
    class_k = class_q + tile;
    class_v = class_k + tile;
    class_dout = class_v + tile;
    lse = carver.take<float>(kTileRows);
    delta = carver.take<float>(kTileRows);
    self_weight = carver.take<float>(kTileRows);
    self_slope = carver.take<float>(kTileRows);
    set_elements = 4 * tile;
    tiles = carver.take<T>(warps * 2 * set_elements);
  }
  __device__ T *warp_tiles(int warp) const { return tiles + warp * 2 * set_elements; }
  // [3, L, kSumLd]: gradients of the class rows of q, k and v over a warp's columns.
  __device__ float *warp_sums(int warp) const { return reinterpret_cast<float *>(warp_tiles(warp)); }
};

// Weights and logit gradients of a column, and of its beats (rows g and g + 8) with their class tokens.
struct BeatSlopes {
  float weight[2][4], slope[2][4];       // of beat queries and beat keys; weights after dropout
  float own_weight[2], own_slope[2];     // of beat queries and class keys
  float class_weight[2], class_slope[2]; // of class queries and beat keys
};

// row_delta: of the global rows of this head, [L, T]; kGlobals: whether there may be any.
// tile: elements from a tensor's rows to those of the next one.
template <typename T, int kDim, bool kGlobals, bool kPlain, typename Shared>
__device__ __forceinline__ BeatSlopes beat_slopes(const ColumnsArguments &args, const Shared &shared, const T *tiles,
                                                  int tile, const LanePlace &at, const ColumnMasks<1> &masks,
                                                  const BeatDropout<kPlain> &dropout, uint32_t bits,
                                                  const float (&lse)[2], const float *row_delta, int64_t column,
                                                  int leads, int first = 0) {
  using Layout = typename Shared::Layout;
  const ClearProblem &p = args.problem;
  const T *q = left_place<Layout>(tiles, leads, first), *dout = q + 3 * tile;
  const T *k = right_place<Layout>(tiles, leads, first) + tile, *v = k + tile;
  const T *class_q = left_place<Layout>(shared.class_q, leads), *class_dout = class_q + 3 * tile;
  const T *class_k = right_place<Layout>(shared.class_k, leads), *class_v = class_k + tile;
  BeatSlopes x;
  float own[2], foreign[2], dp[2][4], own_dp[2], foreign_dp[2];
  beat_scores<Layout, kDim>(x.weight, own, foreign, q, k, class_q, class_k);
  beat_scores<Layout, kDim>(dp, own_dp, foreign_dp, dout, v, class_dout, class_v);
  if (dropout.on()) drop<1>(reinterpret_cast<float (&)[1][2][4]>(dp), dropout, bits);

  // A local row's keys are all here, so that rowsum(dout * out) is the sum of its weights times their gradients.
  float delta[2] = {0.0f, 0.0f};
  const bool local[2] = {masks.is_local(at.g), masks.is_local(at.g + 8)};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int h = i / 4, e = i % 4;
    const bool allowed = local[e / 2] && masks.has_key(at, 0, h, e);
    x.weight[h][e] = allowed ? exponential_from(product(x.weight[h][e], args.scale), lse[e / 2]) : 0.0f;
    dp[h][e] = allowed ? dp[h][e] : 0.0f;
    delta[e / 2] = fmaf(x.weight[h][e], dp[h][e], delta[e / 2]);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i;
    const bool valid = masks.is_valid(lead);
    const float own_factor = beat_factor(dropout, bits, 8 + i), class_factor = beat_factor(dropout, bits, 10 + i);
    const float own_weight = exponential_from(product(own[i], args.scale), lse[i]);
    const float class_weight = exponential_from(product(foreign[i], args.scale), shared.lse[lead]);
    own_dp[i] *= own_factor;
    delta[i] = fmaf(own_weight, own_dp[i], quad_sum(delta[i]));
    if (kGlobals && masks.is_global(lead)) delta[i] = row_delta[lead * p.beats + column];
    x.own_weight[i] = valid ? own_weight * own_factor : 0.0f;
    x.class_weight[i] = valid ? class_weight * class_factor : 0.0f;
    x.own_slope[i] = valid ? own_weight * (own_dp[i] - delta[i]) * args.scale : 0.0f;
    x.class_slope[i] = valid ? class_weight * (class_factor * foreign_dp[i] - shared.delta[lead]) * args.scale : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int h = i / 4, e = i % 4;
    x.slope[h][e] = x.weight[h][e] * (dp[h][e] - delta[e / 2]) * args.scale;
  }
  if (dropout.on()) drop<1>(reinterpret_cast<float (&)[1][2][4]>(x.weight), dropout, bits);
  return x;
}

// The transpose of a left operand, as one.
__device__ __forceinline__ void transpose_left(uint32_t (&target)[4], const uint32_t (&left)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) target[i] = transpose_matrix(left[i / 2 + i % 2 * 2]);
}

// Adds float gradients of global keys, [L * T, kDim] from this column on, to 16 columns from `d` on.
template <int kDim>
__device__ __forceinline__ void add_global(float (&x)[2][4], const float *extra, const ClearProblem &p,
                                           const LanePlace &at, const ColumnMasks<1> &masks, int d) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int h = i / 4, e = i % 4, lead = at.g + 8 * (e / 2);
    if (masks.is_global(lead)) x[h][e] += extra[lead * p.beats * kDim + d + fragment_column(at, h, e)];
  }
}

// The gradients of a column: writer_of(which) gives write(piece, x), which takes 16 columns of dq, dk or dv (0, 1, 2).
// gather(which, piece, rows) meets the rows of k, q and dout, of which the class rows of the same gradients are made,
// as right operands. One warp. kByTensor: one tensor after another, which spares registers where nothing is gathered;
// else one piece after another. Either way the places of q are free once dk is written, those of k once dq is. class_q:
// of the class rows; `tile` as above.
template <typename Layout, int kDim, bool kByTensor, typename T, typename Gather, typename WriterOf>
__device__ __forceinline__ void beat_gradients(const T *class_q, const T *tiles, int tile, const LanePlace &at,
                                               const BeatSlopes &x, int leads, Gather gather, WriterOf writer_of,
                                               int first = 0) {
  const T *q_left = left_place<Layout>(tiles, leads, first), *class_left = left_place<Layout>(class_q, leads);
  uint32_t weights[4], weights_transposed[4], slopes[4], slopes_transposed[4];
  as_left<T>(weights, x.weight);
  as_left<T>(slopes, x.slope);
  transpose_left(weights_transposed, weights);
  transpose_left(slopes_transposed, slopes);
  const Diagonal<T> own_slope(at, x.own_slope), class_weight(at, x.class_weight), class_slope(at, x.class_slope);
  const auto write_dq = writer_of(0), write_dk = writer_of(1), write_dv = writer_of(2);
  const auto one = [&](int which, int piece) {
    const int rows = (which == 0 ? 1 : which == 1 ? 0 : 3) * tile;
    uint32_t right[4], class_right[4];
    float sum[2][4] = {};
    Layout::load_transposed(right, q_left + rows, 16 * piece);
    Layout::load_transposed(class_right, class_left + rows, 16 * piece);
    multiply_piece<T>(sum, which == 0 ? slopes : which == 1 ? slopes_transposed : weights_transposed, right);
    (which == 0 ? own_slope : which == 1 ? class_slope : class_weight).multiply(sum, class_right);
    gather(which, piece, right);
    which == 0 ? write_dq(piece, sum) : which == 1 ? write_dk(piece, sum) : write_dv(piece, sum);
  };
  constexpr int kPieces = kDim / 16;
#pragma unroll
  for (int i = 0; i < 3 * kPieces; ++i) {
    one(2 - (kByTensor ? i / kPieces : i % 3), kByTensor ? i % kPieces : i / 3);
  }
}

// The attention of the class rows to themselves, in the first chunk. One warp; their log-sum-exps and deltas are there.
template <typename T, int kDim, bool kPlain, typename Shared>
__device__ __forceinline__ void class_selves(const ColumnsArguments &args, int64_t chunk, const LanePlace &at,
                                             const Shared &shared, const BeatDropout<kPlain> &dropout) {
  const ClearProblem &p = args.problem;
  using Layout = typename Shared::Layout;
  float self[2], dself[2];
  paired_rows<T, Layout, kDim>(self, shared.class_q, shared.class_k, p.leads);
  paired_rows<T, Layout, kDim>(dself, shared.class_dout, shared.class_v, p.leads);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i;
    if (at.t != 0 || lead >= p.leads) continue;
    const float factor = dropout.of(lead, lead);
    const float weight = chunk == 0 ? exponential_from(product(self[i], args.scale), shared.lse[lead]) : 0.0f;
    shared.self_weight[lead] = weight * factor;
    shared.self_slope[lead] = weight * (factor * dself[i] - shared.delta[lead]) * args.scale;
  }
}

// Log-sum-exp and delta of the class rows, and their attention to themselves.
template <typename T, int kDim, bool kPlain>
__device__ void begin_class_gradients(const ColumnsArguments &args, const ColumnsBlock &block, const LanePlace &at,
                                      const BeatBackwardShared<T, kDim> &shared, const BeatDropout<kPlain> &dropout) {
  const ClearProblem &p = args.problem;
  const float *lse = static_cast<const float *>(p.lse) + row_index(p, block.batch, block.head, 0);
  for (int lead = block.warp; lead < kTileRows; lead += args.plan.warps) {
    float delta = 0.0f;
    if (lead < p.leads) {
      const T *out = token_row<const T>(p.rows[CLEAR_OUT], block.batch, block.head, lead);
#pragma unroll
      for (int d = 0; d < kDim; d += 32) {
        delta =
            fmaf(widen(shared.class_dout[lead * kBeatLd<kDim> + d + block.lane]), widen(out[d + block.lane]), delta);
      }
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) delta += __shfl_xor_sync(kWholeWarp, delta, step);
    if (block.lane == 0) {
      shared.delta[lead] = delta;
      shared.lse[lead] = lead < p.leads ? lse[lead] : 0.0f;
    }
  }
  __syncthreads();
  if (block.warp == 0) class_selves<T, kDim>(args, block.chunk, at, shared, dropout);
}

// The gradients of the class rows: those of all warps and of the tokens' attention to themselves. Four columns to a
// thread.
template <typename T, int kDim>
__device__ __forceinline__ void finish_class_gradients(const ColumnsArguments &args, const ColumnsBlock &block,
                                                       const BeatBackwardShared<T, kDim> &shared) {
  const ClearProblem &p = args.problem;
  const TileShape shape = {kDim, kDim, kBeatLd<kDim>, true};
  const int64_t part = block.chunk_index(p, args.plan) * 3 * p.leads;
  const int quads = p.leads * (kDim / 4);
#pragma unroll 1
  for (int i = block.thread; i < 3 * quads; i += block.threads) {
    const int which = i / quads, lead = i % quads / (kDim / 4), d = i % (kDim / 4) * 4;
    const T *self = which == 0 ? shared.class_k : which == 1 ? shared.class_q : shared.class_dout;
    const float factor = which == 2 ? shared.self_weight[lead] : shared.self_slope[lead];
    float4 sum = scaled4(factor, widen4(self + lead * kBeatLd<kDim> + d));
#pragma unroll 1
    for (int w = 0; w < args.plan.warps; ++w) {
      const float *row = shared.warp_sums(w) + (which * p.leads + lead) * shared.kSumLd + d;
      add4(sum, 1.0f, *reinterpret_cast<const float4 *>(row));
    }
    if (args.plan.chunks == 1) {
      store4(token_row<T>(p.rows[CLEAR_DQ + which], block.batch, block.head, lead), d, shape, sum);
    } else {
      store4(args.partials.rows + (part + which * p.leads + lead) * kDim, d, shape, sum);
    }
  }
}

template <typename T, int kDim, int kLeads, bool kPlain>
__global__ void __launch_bounds__(32 * kBeatWarps, kBeatBackwardBlocks)
    beat_backward(const __grid_constant__ ColumnsArguments args) {
  const ClearProblem &p = args.problem;
  const int warps = args.plan.warps, leads = kLeads == 0 ? p.leads : kLeads, tile = leads * kBeatLd<kDim>;
  const ColumnsBlock block(p, args.plan);
  const LanePlace at;
  const BeatDropout<kPlain> dropout{{p, block.batch, block.head}};
  Carver carver{dynamic_shared()};
  const BeatBackwardShared<T, kDim> shared(carver, leads, warps);
  const LaneRows<kDim, kLeads> rows(leads);

  int64_t column = block.begin + block.warp;
  ColumnMasks<1> masks = beat_masks<kPlain>(p, block.batch, column, leads);
  Cursor<T, kDim, kLeads, CLEAR_Q> from_q(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_K> from_k(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_V> from_v(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_DOUT> from_dout(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_DQ> to_dq(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_DK> to_dk(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_DV> to_dv(args, block, rows, column);
  const auto stage = [&](T *tiles, uint32_t wanted) {
    from_q.stage(tiles, args, rows, wanted);
    from_k.stage(tiles + tile, args, rows, wanted);
    from_v.stage(tiles + 2 * tile, args, rows, wanted);
    from_dout.stage(tiles + 3 * tile, args, rows, wanted);
  };
  const int64_t head_row = row_index(p, block.batch, block.head, leads);
  const float *row_delta = args.delta == nullptr ? nullptr : args.delta + head_row;
  const float *lse_at = static_cast<const float *>(p.lse) + head_row + at.g * p.beats + column;
  // Of rows g and g + 8. Rows beyond the last repeat its logits, and must have no weights like those of padding.
  const auto load_lse = [&](float (&lse)[2]) {
    lse[0] = at.g < leads ? lse_at[0] : infinity<float>();
    lse[1] = at.g + 8 < leads ? lse_at[8 * p.beats] : infinity<float>();
  };
  T *tiles = shared.warp_tiles(block.warp);
  int other = shared.set_elements; // from the tiles of this column to those of the next
  float lse[2] = {0.0f, 0.0f};
  stage_class_rows(shared.class_q, {kDim, kDim, kBeatLd<kDim>, true}, p, 4, block);
  copy_commit();
  if (column < block.end) {
    load_lse(lse);
    stage(tiles, masks.valid);
  }
  copy_commit();
  copy_wait<1>();
  __syncthreads();
  begin_class_gradients(args, block, at, shared, dropout);
  __syncthreads();

  float sums[3][kDim / 16][2][4];
#pragma unroll
  for (int i = 0; i < 3; ++i) clear(sums[i]);
  while (column < block.end) {
    const int64_t next = column + warps;
    const uint32_t bits = beat_bits(dropout, p, at, column);
    ColumnMasks<1> next_masks(0);
    float next_lse[2] = {0.0f, 0.0f};
    if (next < block.end) {
      next_masks = beat_masks<kPlain>(p, block.batch, next, leads);
      lse_at += warps;
      load_lse(next_lse);
      from_q.advance(args);
      from_k.advance(args);
      from_v.advance(args);
      from_dout.advance(args);
      stage(tiles + other, next_masks.valid);
    }
    copy_commit();
    copy_wait<1>();
    __syncwarp();
    const BeatSlopes slopes = beat_slopes<T, kDim, !kPlain>(args, shared, tiles, tile, at, masks, dropout, bits, lse,
                                                            row_delta, column, leads);
    const bool valid[2] = {masks.is_valid(at.g), masks.is_valid(at.g + 8)};
    const bool local[2] = {masks.is_local(at.g), masks.is_local(at.g + 8)};
    const int64_t first = ((block.batch * p.heads + block.head) * beat_count(p) + column) * kDim;
    const Diagonal<T> own_weight(at, slopes.own_weight), own_slope(at, slopes.own_slope);
    const Diagonal<T> class_slope(at, slopes.class_slope);
    const auto gather = [&](int which, int piece, const uint32_t (&rows_of)[4]) {
      (which == 0 ? class_slope : which == 1 ? own_slope : own_weight).multiply(sums[which][piece], rows_of);
    };
    // dq takes the place of k, dk that of q.
    const auto writer_of = [&](int which) {
      T *const place = tiles + (which == 2 ? 2 : 1 - which) * tile;
      return [&, place, which](int piece, float (&x)[2][4]) {
        const int d = 16 * piece;
        if (!kPlain && args.global_dk != nullptr && which != 0) {
          add_global<kDim>(x, (which == 1 ? args.global_dk : args.global_dv) + first, p, at, masks, d);
        }
        __syncwarp();
        put_piece<T, kDim>(place + d, leads, at, x, which == 0 ? local : valid);
      };
    };
    beat_gradients<typename BeatBackwardShared<T, kDim>::Layout, kDim, false>(shared.class_q, tiles, tile, at, slopes,
                                                                              leads, gather, writer_of);
    __syncwarp();
    to_dq.store(tiles + tile, args, rows, ~masks.globals());
    to_dk.store(tiles, args, rows, ~0u);
    to_dv.store(tiles + 2 * tile, args, rows, ~0u);
    to_dq.advance(args);
    to_dk.advance(args);
    to_dv.advance(args);
    __syncwarp();
    masks = next_masks;
    column = next;
    lse[0] = next_lse[0];
    lse[1] = next_lse[1];
    tiles += other;
    other = -other;
  }

  copy_wait<0>();
  __syncwarp();
  float *mine = shared.warp_sums(block.warp);
#pragma unroll
  for (int i = 0; i < 3; ++i) {
#pragma unroll
    for (int piece = 0; piece < kDim / 16; ++piece) {
      put_sums(mine + i * leads * shared.kSumLd + 16 * piece, shared.kSumLd, leads, at, sums[i][piece]);
    }
  }
  __syncthreads();
  finish_class_gradients(args, block, shared);
}

} // namespace clear_cuda
