// Forward of short recordings with visible beats, see head.cuh. A warp takes a beat column at a time; then 16 visible
// beats, or class rows.
#pragma once

#include "beat_forward.cuh"
#include "head.cuh"

namespace clear_cuda {

// Tiles of 16 keys that visible beats meet at a time: the usual number of them at once.
constexpr int kListedTiles = 3;
constexpr int kListedKeys = kListedTiles * kTileRows;

// Dropout of the entries that a lane holds of visible beats and the visible keys from `key` on.
__device__ __forceinline__ uint32_t listed_bits(const Dropout<float> &dropout, const LanePlace &at,
                                                const Listed (&mine)[2], const Listed *list, int key, int end) {
  return dropout.bits<8 * kListedTiles>([&](int i) {
    const int other = key + i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4);
    const int query = i / 2 % 2 == 0 ? mine[0].position : mine[1].position;
    return Entry{query, list[other < end ? other : end - 1].position};
  });
}

// One warp: the visible beats from `first` on. They meet their class token and all visible beats.
template <bool kDropout, typename T, int kDim>
__device__ __forceinline__ void attend_visible(const ColumnsArguments &args, const HeadShared<T, kDim, 3> &shared,
                                               int first, int count) {
  using Layout = HeadRows<kDim, false>;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const ListedRows rows(shared.list, first, count);
  const Listed mine[2] = {rows.row(at.g), rows.row(at.g + 8)};

  uint32_t left[kDim / 16][4];
  float with_class[2][4] = {}, own[2], max[2], sum[2] = {0.0f, 0.0f};
  const T *q = shared.class_q + left_offset<Layout>(rows), *class_k = shared.class_k + right_offset<Layout, true>(rows);
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
    uint32_t right[4];
    Layout::load(left[piece], q, 16 * piece);
    Layout::load(right, class_k, 16 * piece);
    multiply_piece<T>(with_class, left[piece], right);
  }
  TensorTile<T>::diagonal(own, with_class);
#pragma unroll
  for (int i = 0; i < 2; ++i) max[i] = own[i] = product(own[i], args.scale);

  float out[kDim / 16][2][4];
  clear(out);
#pragma unroll 1
  for (int key = 0; key < count; key += kListedKeys) {
    const int tiles = (count - key + kTileRows - 1) / kTileRows, left_columns = count - key - 2 * at.t;
    const uint32_t bits = dropout.on() ? listed_bits(dropout, at, mine, shared.list, key, count) : 0;
    float s[kListedTiles][2][4], kept[2];
    clear(s);
#pragma unroll
    for (int n = 0; n < kListedTiles; ++n) {
      if (n >= tiles) break;
      const T *k = shared.class_k + right_offset<Layout>({shared.list, key + n * kTileRows, count});
#pragma unroll
      for (int piece = 0; piece < kDim / 16; ++piece) {
        uint32_t right[4];
        Layout::load(right, k, 16 * piece);
        multiply_piece<T>(s[n], left[piece], right);
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) kept[i] = max[i];
#pragma unroll
    for (int i = 0; i < 8 * kListedTiles; ++i) {
      const int column = i / 8 * kTileRows + i / 4 % 2 * 8 + i % 2;
      float &x = s[i / 8][i / 4 % 2][i % 4];
      x = column < left_columns ? product(x, args.scale) : -infinity<float>();
      max[i / 2 % 2] = larger(max[i / 2 % 2], x);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      max[i] = quad_max(max[i]);
      kept[i] = exponential_from(kept[i], max[i]);
      sum[i] *= kept[i];
    }
#pragma unroll
    for (int i = 0; i < 8 * kListedTiles; ++i) {
      float &x = s[i / 8][i / 4 % 2][i % 4];
      x = exponential_from(x, max[i / 2 % 2]);
      sum[i / 2 % 2] += x;
    }
    if (dropout.on()) drop<kListedTiles>(s, dropout, bits);
    if (key != 0) {
#pragma unroll
      for (int i = 0; i < kDim / 2; ++i) out[i / 8][i / 4 % 2][i % 4] *= kept[i / 2 % 2];
    }
#pragma unroll
    for (int n = 0; n < kListedTiles; ++n) {
      if (n >= tiles) break;
      uint32_t weights[4];
      as_left<T>(weights, s[n]);
      const T *v = shared.class_v + left_offset<Layout>({shared.list, key + n * kTileRows, count});
#pragma unroll
      for (int piece = 0; piece < kDim / 16; ++piece) {
        uint32_t right[4];
        Layout::load_transposed(right, v, 16 * piece);
        multiply_piece<T>(out[piece], weights, right);
      }
    }
  }

  bool wanted[2];
  float normalise[2];
  T *row[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    wanted[i] = rows.has(at.g + 8 * i);
    row[i] = shared.place->template row<T>(p, CLEAR_OUT, mine[i].position) + written_column(at);
    own[i] = exponential_from(own[i], max[i]);
    sum[i] = quad_sum(sum[i]) + own[i];
    normalise[i] = reciprocal(sum[i]);
    if (dropout.on()) own[i] *= dropout.of(mine[i].position, mine[i].lead());
    if (at.t == 0 && wanted[i]) shared.place->lse[mine[i].position] = max[i] + logarithm(sum[i]);
  }
  const Diagonal<T> to_class(at, own);
  const T *class_v = shared.class_v + left_offset<Layout, true>(rows);
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
    uint32_t right[4];
    Layout::load_transposed(right, class_v, 16 * piece);
    to_class.multiply(out[piece], right);
#pragma unroll
    for (int i = 0; i < 8; ++i) out[piece][i / 4][i % 4] *= normalise[i % 4 / 2];
    write_piece<T>(row, wanted, {true, true}, 16 * piece, at, out[piece]);
  }
}

// One warp: the local rows of a beat column, and what its beats are to their class tokens.
template <bool kDropout, typename T, int kDim>
__device__ __forceinline__ void attend_column(const ColumnsArguments &args, const HeadShared<T, kDim, 3> &shared,
                                              int column) {
  using Layout = HeadRows<kDim, false>;
  constexpr int kLeads = HeadShared<T, kDim, 3>::kLeads;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const int columns = static_cast<int>(p.beats);
  const ColumnMasks<1> masks = state_masks<kLeads>(shared.state, column, columns);
  const uint32_t bits = beat_bits(dropout, p, at, column);
  const int first = kLeads * (1 + column);
  const T *left = left_place<Layout>(shared.class_q, kLeads, first),
          *class_left = left_place<Layout>(shared.class_q, kLeads);
  float s[2][4], own[2], foreign[2], lse[2];
  beat_scores<Layout, kDim>(s, own, foreign, left, right_place<Layout>(shared.class_k, kLeads, first), class_left,
                            right_place<Layout>(shared.class_k, kLeads));
  beat_softmax(s, own, lse, args, at, masks, dropout, bits);
  bool real[2], wanted[2];
  T *row[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i, beat = lead * columns + column;
    const bool speaks = at.t == 0 && lead < kLeads;
    real[i] = masks.is_valid(lead);
    wanted[i] = lead < kLeads && !masks.is_global(lead);
    row[i] = shared.place->template row<T>(p, CLEAR_OUT, kLeads + beat) + written_column(at);
    if (speaks) shared.logits[beat] = real[i] ? product(foreign[i], args.scale) : -infinity<float>();
    if (kDropout && speaks) shared.kept[beat] = bits >> (10 + i) & 1u;
    if (speaks) shared.lse[kLeads + beat] = real[i] ? lse[i] : infinity<float>();
  }
  beat_values<Layout, kDim>(left + 2 * shared.tensor, class_left + 2 * shared.tensor, at, s, own,
                            [&](int piece, const float (&out)[2][4], const uint32_t (&)[4]) {
                              write_piece<T>(row, wanted, real, 16 * piece, at, out);
                            });
}

// One warp: the class rows, whose logits are there. Four lanes to a row, of which each makes weights of a column in
// four; they take the place of the logits.
template <bool kDropout, typename T, int kDim>
__device__ __forceinline__ void attend_class_rows(const ColumnsArguments &args, const HeadShared<T, kDim, 3> &shared) {
  constexpr int kLeads = HeadShared<T, kDim, 3>::kLeads;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const int columns = static_cast<int>(p.beats);
  bool wanted[2];
  T *row[2];
  float max[2], sum[2] = {0.0f, 0.0f}, own[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i;
    wanted[i] = lead < kLeads;
    row[i] = shared.place->template row<T>(p, CLEAR_OUT, lead) + written_column(at);
    float *const logits = shared.logits + lead * columns;
    const int end = wanted[i] ? columns : 0;
    const float self = wanted[i] ? shared.self[lead] : 0.0f;
    max[i] = self;
#pragma unroll 4
    for (int column = at.t; column < end; column += 4) max[i] = larger(max[i], logits[column]);
    max[i] = quad_max(max[i]);
#pragma unroll 4
    for (int column = at.t; column < end; column += 4) {
      float weight = exponential_from(logits[column], max[i]);
      sum[i] += weight;
      if (dropout.on()) weight *= dropout.factor(shared.kept[lead * columns + column], 0);
      logits[column] = weight;
    }
    own[i] = exponential_from(self, max[i]);
    sum[i] = quad_sum(sum[i]) + own[i];
    if (dropout.on()) own[i] *= dropout.of(lead, lead);
  }
  __syncwarp(); // all lanes have read before one writes
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (at.t == 0 && wanted[i]) shared.self[at.g + 8 * i] = own[i];
  }
  __syncwarp();
  float out[kDim / 16][2][4];
  sum_by_lead<HeadRows<kDim, false>>(out, shared.class_v, 0, shared.self, shared.logits, columns, at);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float normalise = reciprocal(sum[i]);
#pragma unroll
    for (int j = 0; j < kDim / 4; ++j) out[j / 4][j / 2 % 2][j % 2 + 2 * i] *= normalise;
    if (at.t == 0 && wanted[i]) shared.place->lse[at.g + 8 * i] = max[i] + logarithm(sum[i]);
  }
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
    write_piece<T>(row, wanted, {true, true}, 16 * piece, at, out[piece]);
  }
}

template <typename T, int kDim, bool kDropout>
__global__ void __launch_bounds__((32 * kHeadWarps<kDim, false>), (kHeadBlocks<kDim, false, kDropout>))
    head_forward(const __grid_constant__ ColumnsArguments args) {
  using Layout = HeadRows<kDim, false>;
  constexpr int kLeads = HeadShared<T, kDim, 3>::kLeads;
  const ClearProblem &p = args.problem;
  constexpr int warps = kHeadWarps<kDim, false>;
  const int columns = static_cast<int>(p.beats);
  const int warp = static_cast<int>(threadIdx.x / 32u);
  Carver carver{dynamic_shared()};
  const HeadShared<T, kDim, 3> shared(carver, columns);
  begin_head(shared, p, HeadBlock(p));
  copy_wait<0>();
  __syncthreads();
  list_visible(shared, p, 0);
  if (warp == warps - 1) {
    const LanePlace at;
    float self[2];
    paired_rows<T, Layout, kDim>(self, shared.class_q, shared.class_k, kLeads);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (at.t == 0) shared.self[at.g + 8 * i] = product(self[i], args.scale);
    }
  }
#pragma unroll 1
  for (int column = warp; column < columns; column += warps) attend_column<kDropout>(args, shared, column);
  __syncthreads();
#pragma unroll 1
  for (int beat = static_cast<int>(threadIdx.x); beat < kLeads * columns; beat += 32 * warps) {
    const int position = kLeads + beat;
    if ((shared.state[beat] & kVisibleBeat) == 0) shared.place->lse[position] = shared.lse[position];
  }
  const int count = *shared.count, tiles = (count + kTileRows - 1) / kTileRows;
#pragma unroll 1
  for (int unit = warp; unit <= tiles; unit += warps) {
    if (unit < tiles) {
      attend_visible<kDropout>(args, shared, unit * kTileRows, count);
    } else {
      attend_class_rows<kDropout>(args, shared);
    }
  }
}

} // namespace clear_cuda
