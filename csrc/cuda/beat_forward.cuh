// Forward of local beats and class tokens in the usual shapes, see beat.cuh. While a warp works on a column, the next
// one comes to its other set of tiles.
#pragma once

#include "beat.cuh"

namespace clear_cuda {

// Beats per lead whose log-sum-exps are kept until the end and written in one run. A column's, which lie as far apart
// as its leads, are pieces of as many memory sectors: one by one they took some percent of the kernel's time on an
// H200.
constexpr int64_t kHeldBeats = 32;

template <typename T, int kDim> struct BeatForwardShared {
  using Layout = PaddedRows<kDim>;
  // Of the sums that a warp leaves in its own tiles in the end: rows in different banks.
  static constexpr int kSumLd = kDim + 8;
  T *class_q, *class_k, *class_v; // [L, ld]
  float *self;                    // [16]: logits of the class tokens to themselves
  float *max, *sum;               // [warps, 16]: of the class rows, over a warp's columns
  int *place;                     // batch, head and chunk, which need no register meanwhile
  float *lse;                     // [L, T]: of local beats; minus infinity: of a global one
  bool holds_lse;                 // else `lse` is not there
  T *tiles;                       // [warps, 2, 3, L, ld]
  int set_elements;

  __host__ __device__ BeatForwardShared(Carver &carver, int leads, int warps, int64_t beats) {
    const int tile = leads * kBeatLd<kDim>;
    class_q = carver.take<T>(3 * tile);
    class_k = class_q + tile;
    class_v = class_k + tile;
    self = carver.take<float>(kTileRows);
    max = carver.take<float>(warps * kTileRows);
    sum = carver.take<float>(warps * kTileRows);
    place = carver.take<int>(3);
    holds_lse = beats <= kHeldBeats;
    lse = carver.take<float>(holds_lse ? leads * beats : 0);
    set_elements = 3 * tile;
    tiles = carver.take<T>(warps * 2 * set_elements);
  }
  __device__ T *warp_tiles(int warp) const { return tiles + warp * 2 * set_elements; }
  __device__ float *warp_sums(int warp) const { return reinterpret_cast<float *>(warp_tiles(warp)); }
};

// A warp's running softmax of the class rows g and g + 8; the four lanes of a row know the same.
template <int kDim> struct ClassSoftmax {
  static constexpr float kSlack = 5.0f;
  float max[2], sum[2];       // the reference of the exponents, and the sum of weights relative to it
  float out[kDim / 16][2][4]; // weighted values
  float slack;                // by how much a logit may exceed its reference

  // largest_factor: of weights before they are rounded to 16 bits, where products with e^kSlack must not overflow.
  __device__ explicit ClassSoftmax(float largest_factor) : slack(largest_factor < 256.0f ? kSlack : 0.0f) {
    max[0] = max[1] = -infinity<float>();
    sum[0] = sum[1] = 0.0f;
    clear(out);
  }
  // Takes the logits to the present column; returns the weights of its values before dropout. What was summed so far is
  // scaled only if a logit exceeds the old reference by so much that sums might lose accuracy or overflow.
  __device__ __forceinline__ void advance(float (&weight)[2], const float (&logit)[2]) {
    const bool beyond = logit[0] > max[0] + slack || logit[1] > max[1] + slack;
    if (__ballot_sync(kWholeWarp, beyond) != 0) {
      float kept[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float next = larger(max[i], logit[i]);
        kept[i] = next == -infinity<float>() ? 0.0f : exponential_from(max[i], next);
        sum[i] *= kept[i];
        max[i] = next;
      }
#pragma unroll
      for (int i = 0; i < kDim / 2; ++i) out[i / 8][i / 4 % 2][i % 4] *= kept[i % 4 / 2];
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      // With no valid beat so far any reference will do.
      weight[i] = exponential_from(logit[i], max[i] == -infinity<float>() ? 0.0f : max[i]);
      sum[i] += weight[i];
    }
  }
};

// Softmax of the logits of rows g and g + 8 to their column and to their class token, normalised. Returns their
// largest logits and their sums of exponentials relative to them. Dropout comes after the sums.
template <bool kPlain>
__device__ __forceinline__ void
beat_softmax(float (&s)[2][4], float (&own)[2], float (&max)[2], float (&sum)[2], const ColumnsArguments &args,
             const LanePlace &at, const ColumnMasks<1> &masks, const BeatDropout<kPlain> &dropout, uint32_t bits) {
  const float scale = args.scale;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    max[i] = own[i] = product(own[i], scale);
    sum[i] = 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int h = i / 4, e = i % 4;
    s[h][e] = masks.has_key(at, 0, h, e) ? product(s[h][e], scale) : -infinity<float>();
    max[e / 2] = larger(max[e / 2], s[h][e]);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    max[i] = quad_max(max[i]);
    own[i] = exponential_from(own[i], max[i]);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int h = i / 4, e = i % 4;
    s[h][e] = exponential_from(s[h][e], max[e / 2]);
    sum[e / 2] += s[h][e];
  }
  if (dropout.on()) drop<1>(reinterpret_cast<float (&)[1][2][4]>(s), dropout, bits);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    sum[i] = quad_sum(sum[i]) + own[i];
    const float normalise = reciprocal(sum[i]);
    own[i] *= normalise * beat_factor(dropout, bits, 8 + i);
#pragma unroll
    for (int j = 0; j < 4; ++j) s[j / 2][j % 2 + 2 * i] *= normalise;
  }
}

// The values of a column: put(piece, out, values) takes the rows' results, 16 columns at a time, and the values as a
// right operand. One warp; v_left and class_v_left are left_place() of the tiles.
template <typename Layout, int kDim, typename T, typename Put>
__device__ __forceinline__ void beat_values(const T *v_left, const T *class_v_left, const LanePlace &at,
                                            const float (&s)[2][4], const float (&own)[2], Put put) {
  uint32_t left[4];
  as_left<T>(left, s);
  const Diagonal<T> of_class(at, own);
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
    uint32_t right[4], class_right[4];
    Layout::load_transposed(right, v_left, 16 * piece);
    Layout::load_transposed(class_right, class_v_left, 16 * piece);
    float out[2][4] = {};
    multiply_piece<T>(out, left, right);
    of_class.multiply(out, class_right);
    put(piece, out, right);
  }
}

// Puts the class rows of all warps together, with the token itself in the first chunk. Four columns to a thread.
template <typename T, int kDim, bool kPlain>
__device__ __forceinline__ void finish_class_rows(const ColumnsArguments &args, const ColumnsBlock &block,
                                                  const BeatForwardShared<T, kDim> &shared,
                                                  const BeatDropout<kPlain> &dropout) {
  const ClearProblem &p = args.problem;
  const TileShape shape = {kDim, kDim, kBeatLd<kDim>, true};
  const int warps = args.plan.warps;
  const bool whole = args.plan.chunks == 1, first = block.chunk == 0;
  const int64_t part = block.chunk_index(p, args.plan) * p.leads;
#pragma unroll 1
  for (int i = block.thread; i < p.leads * (kDim / 4); i += block.threads) {
    const int lead = i / (kDim / 4), d = i % (kDim / 4) * 4;
    const float self_logit = first ? shared.self[lead] : -infinity<float>();
    float max = self_logit;
    for (int w = 0; w < warps; ++w) max = larger(max, shared.max[w * kTileRows + lead]);
    const float base = max == -infinity<float>() ? 0.0f : max;
    float sum = exponential(self_logit - base);
    const float self_weight = first ? sum * dropout.of(lead, lead) : 0.0f;
    float4 out = scaled4(self_weight, widen4(shared.class_v + lead * kBeatLd<kDim> + d));
#pragma unroll 1
    for (int w = 0; w < warps; ++w) {
      const float factor = exponential(shared.max[w * kTileRows + lead] - base);
      sum = fmaf(factor, shared.sum[w * kTileRows + lead], sum);
      const float *row = shared.warp_sums(w) + lead * shared.kSumLd + d;
      add4(out, factor, *reinterpret_cast<const float4 *>(row));
    }
    if (whole) {
      store4(token_row<T>(p.rows[CLEAR_OUT], block.batch, block.head, lead), d, shape, scaled4(reciprocal(sum), out));
    } else {
      store4(args.partials.rows + (part + lead) * kDim, d, shape, out);
    }
    if (d != 0) continue;
    if (whole) {
      static_cast<float *>(p.lse)[row_index(p, block.batch, block.head, lead)] = max + logarithm(sum);
    } else {
      args.partials.max[part + lead] = max;
      args.partials.sum[part + lead] = sum;
    }
  }
}

template <typename T, int kDim, int kLeads, bool kPlain>
__global__ void __launch_bounds__(32 * kBeatWarps, (kBeatForwardBlocks<kDim, kPlain>))
    beat_forward(const __grid_constant__ ColumnsArguments args) {
  using Layout = typename BeatForwardShared<T, kDim>::Layout;
  const ClearProblem &p = args.problem;
  const int warps = args.plan.warps, leads = kLeads == 0 ? p.leads : kLeads, tile = leads * kBeatLd<kDim>;
  ColumnsBlock block(p, args.plan);
  const LanePlace at;
  const BeatDropout<kPlain> dropout{{p, block.batch, block.head}};
  Carver carver{dynamic_shared()};
  const BeatForwardShared<T, kDim> shared(carver, leads, warps, p.beats);
  T *tiles = shared.warp_tiles(block.warp);
  int other = shared.set_elements; // from the tiles of this column to those of the next
  const T *class_left = left_place<Layout>(shared.class_q, leads);
  const T *class_k_right = right_place<Layout>(shared.class_k, leads);
  const LaneRows<kDim, kLeads> rows(leads);

  // Tokens are counted in 32 bits, and registers are scarce.
  int column = static_cast<int>(block.begin) + block.warp;
  const int end = static_cast<int>(block.end), beats = static_cast<int>(p.beats);
  ColumnMasks<1> masks = beat_masks<kPlain>(p, block.batch, column, leads);
  Cursor<T, kDim, kLeads, CLEAR_Q> from_q(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_K> from_k(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_V> from_v(args, block, rows, column);
  Cursor<T, kDim, kLeads, CLEAR_OUT> to(args, block, rows, column);
  float *const row_lse =
      shared.holds_lse ? shared.lse : static_cast<float *>(p.lse) + row_index(p, block.batch, block.head, leads);
  stage_class_rows(shared.class_q, {kDim, kDim, kBeatLd<kDim>, true}, p, 3, block);
  const auto stage = [&](T *target, const ColumnMasks<1> &wanted) {
    from_q.stage(target, args, rows, wanted.local);
    from_k.stage(target + tile, args, rows, wanted.valid);
    from_v.stage(target + 2 * tile, args, rows, wanted.valid);
  };
  copy_commit();
  if (column < end) stage(tiles, masks);
  copy_commit();
  copy_wait<1>();
  __syncthreads();
  if (block.thread == 0) {
    shared.place[0] = static_cast<int>(block.batch);
    shared.place[1] = static_cast<int>(block.head);
    shared.place[2] = static_cast<int>(block.chunk);
  }
  if (block.warp == 0) {
    float self[2];
    paired_rows<T, Layout, kDim>(self, shared.class_q, shared.class_k, leads);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (at.t == 0) shared.self[at.g + 8 * i] = product(self[i], args.scale);
    }
  }

  ClassSoftmax<kDim> state(dropout.on() ? static_cast<float>(p.keep_scale) : 1.0f);
  while (column < end) {
    const int next = column + warps;
    const uint32_t bits = beat_bits(dropout, p, at, column);
    ColumnMasks<1> next_masks(0);
    if (next < end) {
      next_masks = beat_masks<kPlain>(p, block.batch, next, leads);
      from_q.advance(args);
      from_k.advance(args);
      from_v.advance(args);
      stage(tiles + other, next_masks);
    }
    copy_commit();
    copy_wait<1>();
    __syncwarp();
    const T *left = left_place<Layout>(tiles, leads);
    float s[2][4], own[2], foreign[2];
    beat_scores<Layout, kDim>(s, own, foreign, left, right_place<Layout>(tiles, leads) + tile, class_left,
                              class_k_right);

    float max[2], sum[2], lse[2], weight[2];
    const bool real[2] = {masks.is_valid(at.g), masks.is_valid(at.g + 8)};
    beat_softmax(s, own, max, sum, args, at, masks, dropout, bits);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      lse[i] = max[i] + logarithm(sum[i]);
      const int lead = at.g + 8 * i;
      const bool global = masks.is_global(lead);
      foreign[i] = real[i] ? product(foreign[i], args.scale) : -infinity<float>();
      if (at.t == 0 && lead < leads && (shared.holds_lse || !global)) {
        row_lse[lead * beats + column] = global ? -infinity<float>() : real[i] ? lse[i] : infinity<float>();
      }
    }
    state.advance(weight, foreign);
#pragma unroll
    for (int i = 0; i < 2; ++i) weight[i] *= beat_factor(dropout, bits, 10 + i);

    // The results take the place of the values, and the class rows advance.
    const Diagonal<T> to_class(at, weight);
    beat_values<Layout, kDim>(left + 2 * tile, class_left + 2 * tile, at, s, own,
                              [&](int piece, const float (&out)[2][4], const uint32_t (&values)[4]) {
                                to_class.multiply(state.out[piece], values);
                                __syncwarp();
                                put_piece<T, kDim>(tiles + 2 * tile + 16 * piece, leads, at, out, real);
                              });
    __syncwarp();
    to.store(tiles + 2 * tile, args, rows, ~masks.globals());
    to.advance(args);
    __syncwarp();
    tiles += other;
    other = -other;
    masks = next_masks;
    column = next;
  }

  copy_wait<0>();
  __syncwarp();
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
    put_sums(shared.warp_sums(block.warp) + 16 * piece, shared.kSumLd, leads, at, state.out[piece]);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int slot = block.warp * kTileRows + at.g + 8 * i;
    if (at.t == 0) {
      shared.max[slot] = state.max[i];
      shared.sum[slot] = state.sum[i];
    }
  }
  __syncthreads();
  block.batch = shared.place[0];
  block.head = shared.place[1];
  block.chunk = shared.place[2];
  if (shared.holds_lse) {
    float *const all = static_cast<float *>(p.lse) + row_index(p, block.batch, block.head, leads);
    for (int i = block.thread; i < leads * beats; i += block.threads) {
      if (shared.lse[i] != -infinity<float>()) all[i] = shared.lse[i];
    }
  }
  finish_class_rows(args, block, shared, dropout);
}

} // namespace clear_cuda
