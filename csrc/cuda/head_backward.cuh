// Backward of short recordings with visible beats, see head.cuh. A warp takes a beat column at a time; then 16 visible
// beats as queries or as keys, or class rows.
#pragma once

#include "beat_backward.cuh"
#include "head.cuh"

namespace clear_cuda {

// delta = rowsum(dout * out) of the class tokens and the visible beats. All threads together, four to a row; `staged`
// waits for shared.tensors, after the first reads are under way.
template <typename T, int kDim, typename Staged>
__device__ __forceinline__ void listed_deltas(const HeadShared<T, kDim, true> &shared, const ClearProblem &p,
                                              int threads, Staged staged) {
  const int thread = static_cast<int>(threadIdx.x), quarter = static_cast<int>(threadIdx.x % 4u), count = *shared.count;
#pragma unroll 1
  for (int base = 0; base < count; base += threads / 4) {
    const int index = base + thread / 4;
    const Listed token = shared.list[index < count ? index : count - 1];
    const T *out = shared.place->template row<const T>(p, CLEAR_OUT, token.position) + 8 * quarter;
    uint4 pieces[kDim / 32];
#pragma unroll
    for (int i = 0; i < kDim / 32; ++i) pieces[i] = *reinterpret_cast<const uint4 *>(out + 32 * i);
    if (base == 0) staged();
    float delta = 0.0f;
    const auto add = [&](uint32_t a, uint32_t b) {
      const float2 x = unpack2<T>(a), y = unpack2<T>(b);
      delta = fmaf(x.x, y.x, fmaf(x.y, y.y, delta));
    };
#pragma unroll
    for (int i = 0; i < kDim / 32; ++i) {
      const uint4 other =
          *reinterpret_cast<const uint4 *>(shared.class_dout + HeadRows<kDim, true>::place(token.row, quarter + 4 * i));
      add(pieces[i].x, other.x);
      add(pieces[i].y, other.y);
      add(pieces[i].z, other.z);
      add(pieces[i].w, other.w);
    }
    delta = quad_sum(delta);
    if (index < count && quarter == 0) shared.delta[token.position] = delta;
  }
}

// Two products of 16 rows with 16 others, a b^T and c d^T, from a lane's places of the operands.
template <typename Layout, int kDim, typename T>
__device__ __forceinline__ void two_products(float (&ab)[2][4], float (&cd)[2][4], const T *a, const T *b, const T *c,
                                             const T *d) {
#pragma unroll
  for (int i = 0; i < 8; ++i) ab[i / 4][i % 4] = cd[i / 4][i % 4] = 0.0f;
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    uint32_t left[4], right[4];
    Layout::load(left, a, k);
    Layout::load(right, b, k);
    multiply_piece<T>(ab, left, right);
    Layout::load(left, c, k);
    Layout::load(right, d, k);
    multiply_piece<T>(cd, left, right);
  }
}

// Dropout of the entries that a lane holds of two tiles of listed tokens.
template <bool kRowsAreQueries, bool kPlain>
__device__ __forceinline__ uint32_t tile_bits(const BeatDropout<kPlain> &dropout, const LanePlace &at,
                                              const Listed (&mine)[2], const ListedRows &others) {
  return dropout.template bits<8>([&](int i) {
    const int row = i / 2 % 2 == 0 ? mine[0].position : mine[1].position;
    const int column = others.row(fragment_column(at, i / 4, i % 4)).position;
    return kRowsAreQueries ? Entry{row, column} : Entry{column, row};
  });
}

// One warp: dq of the visible beats from `first` on; the list's beats begin behind the class tokens.
template <bool kDropout, typename T, int kDim>
__device__ __forceinline__ void visible_queries(const ColumnsArguments &args, const HeadShared<T, kDim, true> &shared,
                                                int first, int count) {
  using Layout = HeadRows<kDim, true>;
  constexpr int kLeads = HeadShared<T, kDim, true>::kLeads;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const ListedRows rows(shared.list, first, count);
  const Listed mine[2] = {rows.row(at.g), rows.row(at.g + 8)};
  const T *q = shared.class_q + left_offset<Layout>(rows), *dout = q + 3 * shared.tensor;
  float dq[kDim / 16][2][4], lse[2], delta[2], s[2][4], dp[2][4];
  clear(dq);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    lse[i] = shared.lse[mine[i].position];
    delta[i] = shared.delta[mine[i].position];
  }
#pragma unroll 1
  for (int key = kLeads; key < count; key += kTileRows) {
    const ListedRows others(shared.list, key, count);
    const int left_columns = count - key - 2 * at.t;
    const T *k = shared.class_k + right_offset<Layout>(others);
    two_products<Layout, kDim>(s, dp, q, k, dout, k + shared.tensor);
    const uint32_t bits = dropout.on() ? tile_bits<true>(dropout, at, mine, others) : ~0u;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int h = i / 4, e = i % 4;
      const float weight = exponential_from(product(s[h][e], args.scale), lse[e / 2]);
      const float factor = dropout.on() ? dropout.factor(bits, i) : 1.0f;
      const float slope = weight * (factor * dp[h][e] - delta[e / 2]) * args.scale;
      s[h][e] = 8 * h + e % 2 < left_columns ? slope : 0.0f;
    }
    uint32_t slopes[4];
    as_left<T>(slopes, s);
    const T *k_rows = shared.class_k + left_offset<Layout>(others);
#pragma unroll
    for (int piece = 0; piece < kDim / 16; ++piece) {
      uint32_t right[4];
      Layout::load_transposed(right, k_rows, 16 * piece);
      multiply_piece<T>(dq[piece], slopes, right);
    }
  }

  const T *class_k = shared.class_k + right_offset<Layout, true>(rows);
  two_products<Layout, kDim>(s, dp, q, class_k, dout, class_k + shared.tensor);
  float own[2], own_dp[2];
  TensorTile<T>::diagonal(own, s);
  TensorTile<T>::diagonal(own_dp, dp);
  bool wanted[2];
  T *row[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float weight = exponential_from(product(own[i], args.scale), lse[i]);
    if (dropout.on()) own_dp[i] *= dropout.of(mine[i].position, mine[i].lead());
    own[i] = weight * (own_dp[i] - delta[i]) * args.scale;
    wanted[i] = rows.has(at.g + 8 * i);
    row[i] = shared.place->template row<T>(p, CLEAR_DQ, mine[i].position) + written_column(at);
  }
  const Diagonal<T> with_class(at, own);
  const T *class_rows = shared.class_k + left_offset<Layout, true>(rows);
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
    uint32_t right[4];
    Layout::load_transposed(right, class_rows, 16 * piece);
    with_class.multiply(dq[piece], right);
    write_piece<T>(row, wanted, {true, true}, 16 * piece, at, dq[piece]);
  }
}

// Adds what is already in rows g and g + 8 of a gradient to 16 columns of it. `row`: this lane's places of writing.
template <typename T>
__device__ __forceinline__ void add_written(float (&x)[2][4], T *const (&row)[2], int d, const LanePlace &at) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const T *from = row[i] + d - written_column(at) + 2 * at.t;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float2 pair = unpack2<T>(*reinterpret_cast<const uint32_t *>(from + 8 * h));
      x[h][2 * i] += pair.x;
      x[h][2 * i + 1] += pair.y;
    }
  }
}

// One warp: dk and dv of the visible beats from `first` on, to which their columns' part has been written.
template <bool kDropout, typename T, int kDim>
__device__ __forceinline__ void visible_keys(const ColumnsArguments &args, const HeadShared<T, kDim, true> &shared,
                                             int first, int count) {
  using Layout = HeadRows<kDim, true>;
  constexpr int kLeads = HeadShared<T, kDim, true>::kLeads;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const ListedRows rows(shared.list, first, count);
  const Listed mine[2] = {rows.row(at.g), rows.row(at.g + 8)};
  const T *k = shared.class_k + left_offset<Layout>(rows);
  float dk[kDim / 16][2][4], dv[kDim / 16][2][4];
  clear(dk);
  clear(dv);
#pragma unroll 1
  for (int query = kLeads; query < count; query += kTileRows) {
    const ListedRows others(shared.list, query, count);
    const int left_columns = count - query - 2 * at.t;
    const T *q = shared.class_q + right_offset<Layout>(others);
    float s[2][4], dp[2][4];
    two_products<Layout, kDim>(s, dp, k, q, k + shared.tensor, q + 3 * shared.tensor);
    const uint32_t bits = dropout.on() ? tile_bits<false>(dropout, at, mine, others) : ~0u;
    float lse[4], delta[4]; // of the lane's columns
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int position = others.row(fragment_column(at, i / 2, i % 2)).position;
      lse[i] = shared.lse[position];
      delta[i] = shared.delta[position];
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int h = i / 4, e = i % 4, column = 2 * h + e % 2;
      const bool allowed = 8 * h + e % 2 < left_columns;
      const float weight = exponential_from(product(s[h][e], args.scale), lse[column]);
      const float factor = dropout.on() ? dropout.factor(bits, i) : 1.0f;
      const float slope = weight * (factor * dp[h][e] - delta[column]) * args.scale;
      s[h][e] = allowed ? weight * factor : 0.0f;
      dp[h][e] = allowed ? slope : 0.0f;
    }
    uint32_t weights[4], slopes[4];
    as_left<T>(weights, s);
    as_left<T>(slopes, dp);
    const T *q_rows = shared.class_q + left_offset<Layout>(others);
#pragma unroll
    for (int piece = 0; piece < kDim / 16; ++piece) {
      uint32_t right[4];
      Layout::load_transposed(right, q_rows + 3 * shared.tensor, 16 * piece);
      multiply_piece<T>(dv[piece], weights, right);
      Layout::load_transposed(right, q_rows, 16 * piece);
      multiply_piece<T>(dk[piece], slopes, right);
    }
  }
  const bool wanted[2] = {rows.has(at.g), rows.has(at.g + 8)};
  const auto add = [&](int tensor, float (&x)[kDim / 16][2][4]) {
    T *const row[2] = {shared.place->template row<T>(p, tensor, mine[0].position) + written_column(at),
                       shared.place->template row<T>(p, tensor, mine[1].position) + written_column(at)};
#pragma unroll
    for (int piece = 0; piece < kDim / 16; ++piece) {
      add_written(x[piece], row, 16 * piece, at);
      __syncwarp(); // all lanes have read before one writes
      write_piece<T>(row, wanted, {true, true}, 16 * piece, at, x[piece]);
    }
  };
  add(CLEAR_DK, dk);
  add(CLEAR_DV, dv);
}

// One warp: the gradients of a beat column, apart from dq of its visible beats and what visible queries give to their
// dk and dv. What the class rows are made of stays in shared memory.
template <bool kDropout, typename T, int kDim>
__device__ __forceinline__ void column_gradients(const ColumnsArguments &args, const HeadShared<T, kDim, true> &shared,
                                                 int column) {
  constexpr int kLeads = HeadShared<T, kDim, true>::kLeads;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const int columns = static_cast<int>(p.beats);
  const ColumnMasks<1> masks = column_masks(shared.marks[column]);
  const uint32_t bits = beat_bits(dropout, p, at, column);
  const int first = kLeads * (1 + column);
  float lse[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i;
    // Rows beyond the last repeat its logits, and must have no weights like those of padding.
    lse[i] = lead < kLeads ? shared.lse[kLeads + lead * columns + column] : infinity<float>();
  }
  const BeatSlopes slopes = beat_slopes<T, kDim, true>(args, shared, shared.class_q, shared.tensor, at, masks, dropout,
                                                       bits, lse, shared.delta + kLeads, column, kLeads, first);
  bool wanted[2], local[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i, beat = lead * columns + column;
    wanted[i] = lead < kLeads;
    local[i] = wanted[i] && !masks.is_global(lead);
    if (at.t != 0 || lead >= kLeads) continue;
    shared.class_slope[beat] = slopes.class_slope[i];
    shared.own_slope[beat] = slopes.own_slope[i];
    shared.own_weight[beat] = slopes.own_weight[i];
  }
  // Rows of padding come out as zeros.
  const auto writer_of = [&](int which) {
    const int position = kLeads + at.g * columns + column;
    T *const upper = shared.place->template row<T>(p, CLEAR_DQ + which, position) + written_column(at);
    T *const lower = shared.place->template row<T>(p, CLEAR_DQ + which, position + 8 * columns) + written_column(at);
    return [&, upper, lower, which](int piece, const float (&x)[2][4]) {
      write_piece<T>({upper, lower}, which == 0 ? local : wanted, {true, true}, 16 * piece, at, x);
    };
  };
  const auto nothing = [](int, int, const uint32_t (&)[4]) {};
  beat_gradients<HeadRows<kDim, true>, kDim, true>(shared.class_q, shared.class_q, shared.tensor, at, slopes, kLeads,
                                                   nothing, writer_of, first);
}

// One warp: 16 kPieces columns from `d` on of the class rows of dq, dk or dv (`which`), whose factors are there.
template <int kPieces, typename T, int kDim>
__device__ __forceinline__ void class_gradients(const ColumnsArguments &args, const HeadShared<T, kDim, true> &shared,
                                                int which, int d) {
  constexpr int kLeads = HeadShared<T, kDim, true>::kLeads;
  const ClearProblem &p = args.problem;
  const LanePlace at;
  const int columns = static_cast<int>(p.beats);
  const T *source = which == 0 ? shared.class_k : which == 1 ? shared.class_q : shared.class_dout;
  const float *self = which == 2 ? shared.self_weight : shared.self_slope;
  const float *factors = which == 0 ? shared.class_slope : which == 1 ? shared.own_slope : shared.own_weight;
  float sum[kPieces][2][4];
  sum_by_lead<HeadRows<kDim, true>>(sum, source, d, self, factors, columns, at);
  bool wanted[2];
  T *row[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i;
    wanted[i] = lead < kLeads;
    row[i] = shared.place->template row<T>(p, CLEAR_DQ + which, lead) + written_column(at);
  }
#pragma unroll
  for (int piece = 0; piece < kPieces; ++piece) {
    write_piece<T>(row, wanted, {true, true}, d + 16 * piece, at, sum[piece]);
  }
}

template <typename T, int kDim, bool kDropout>
__global__ void __launch_bounds__((32 * kHeadWarps<kDim, true>), (kHeadBlocks<kDim, true, kDropout>))
    head_backward(const __grid_constant__ ColumnsArguments args) {
  constexpr int kLeads = HeadShared<T, kDim, true>::kLeads, kClassPieces = 2;
  const ClearProblem &p = args.problem;
  constexpr int warps = kHeadWarps<kDim, true>;
  const int columns = static_cast<int>(p.beats);
  const int thread = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.x / 32u);
  Carver carver{dynamic_shared()};
  const HeadShared<T, kDim, true> shared(carver, columns);
  {
    const HeadBlock block(p);
    begin_head(shared, p, block);
    const float *lse = static_cast<const float *>(p.lse) + row_index(p, block.batch, block.head, 0);
#pragma unroll 1
    for (int i = thread; i < kLeads * (columns + 1); i += 32 * warps) shared.lse[i] = lse[i];
    if (thread < kLeads) shared.list[thread] = {static_cast<uint16_t>(thread), static_cast<uint16_t>(thread)};
  }
  __syncthreads();
  list_visible(shared, p, kLeads);
  __syncthreads();
  listed_deltas(shared, p, 32 * warps, [] {
    copy_wait<0>();
    __syncthreads();
  });
  __syncthreads();
  if (warp == warps - 1)
    class_selves<T, kDim>(args, 0, LanePlace(), shared, shared.place->template dropout<kDropout>(p));
#pragma unroll 1
  for (int column = warp; column < columns; column += warps) column_gradients<kDropout>(args, shared, column);
  __syncthreads();
  const int count = *shared.count, tiles = (count - kLeads + kTileRows - 1) / kTileRows;
  const int units = 2 * tiles + 3 * kDim / 16 / kClassPieces;
#pragma unroll 1
  for (int unit = warp; unit < units; unit += warps) {
    const int first = kLeads + unit / 2 * kTileRows, left = unit - 2 * tiles;
    if (left >= 0) {
      class_gradients<kClassPieces>(args, shared, left % 3, left / 3 * 16 * kClassPieces);
    } else if (unit % 2 == 0) {
      visible_keys<kDropout>(args, shared, first, count);
    } else {
      visible_queries<kDropout>(args, shared, first, count);
    }
  }
}

} // namespace clear_cuda
