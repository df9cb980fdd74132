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
  constexpr int kLd = kBeatLd<kDim>;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const ListedRows rows(shared.list, first, count);
  const Listed mine[2] = {rows.row(at.g), rows.row(at.g + 8)};

  uint32_t left[kDim / 16][4];
  float with_class[2][4] = {}, own[2], max[2], sum[2] = {0.0f, 0.0f};
  const T *q = shared.class_q + left_offset<kLd>(rows), *class_k = shared.class_k + right_offset<kLd, true>(rows);
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
    uint32_t right[4];
    load_matrices(left[piece], q + 16 * piece);
    load_matrices(right, class_k + 16 * piece);
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
      const T *k = shared.class_k + right_offset<kLd>({shared.list, key + n * kTileRows, count});
#pragma unroll
      for (int piece = 0; piece < kDim / 16; ++piece) {
        uint32_t right[4];
        load_matrices(right, k + 16 * piece);
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
      const T *v = shared.class_v + left_offset<kLd>({shared.list, key + n * kTileRows, count});
#pragma unroll
      for (int piece = 0; piece < kDim / 16; ++piece) {
        uint32_t right[4];
        load_matrices_transposed(right, v + 16 * piece);
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
    if (at.t == 0 && wanted[i]) shared.place->lse_of(p)[mine[i].position] = max[i] + logarithm(sum[i]);
  }
  const Diagonal<T> to_class(at, own);
  const T *class_v = shared.class_v + left_offset<kLd, true>(rows);
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
    uint32_t right[4];
    load_matrices_transposed(right, class_v + 16 * piece);
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
  constexpr int kLeads = HeadShared<T, kDim, 3>::kLeads;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const int columns = static_cast<int>(p.beats);
  const ColumnMasks<1> masks = state_masks<kLeads>(shared.state, column, columns);
  const uint32_t bits = beat_bits(dropout, p, at, column);
  const T *tiles = shared.column_tiles(column);
  const T *left = left_place<kDim>(tiles, kLeads), *class_left = left_place<kDim>(shared.class_q, kLeads);
  float s[2][4], own[2], foreign[2], lse[2];
  beat_scores<T, kDim>(s, own, foreign, left, right_place<kDim>(tiles, kLeads) + shared.tensor, class_left,
                       right_place<kDim>(shared.class_k, kLeads));
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
    if (kDropout && speaks && (bits >> (10 + i) & 1u) != 0) shared.state[beat] |= kKeptBeat;
    if (speaks && wanted[i]) shared.place->lse_of(p)[kLeads + beat] = real[i] ? lse[i] : infinity<float>();
  }
  beat_values<T, kDim>(left + 2 * shared.tensor, class_left + 2 * shared.tensor, at, s, own,
                       [&](int piece, const float (&out)[2][4], const uint32_t (&)[4]) {
                         write_piece<T>(row, wanted, real, 16 * piece, at, out);
                       });
}

// One warp: 16 kPieces columns from `d` on of the class rows, whose logits are there. Four lanes to a row, of which
// each weighs a column in four.
template <bool kDropout, int kPieces, typename T, int kDim>
__device__ __forceinline__ void attend_class_rows(const ColumnsArguments &args, const HeadShared<T, kDim, 3> &shared,
                                                  int d) {
  constexpr int kLeads = HeadShared<T, kDim, 3>::kLeads;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const int columns = static_cast<int>(p.beats);
  float max[2], sum[2] = {0.0f, 0.0f}, self[2], weight[2];
  int first[2]; // of the beats of rows g and g + 8
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i < kLeads ? at.g + 8 * i : kLeads - 1;
    first[i] = lead * columns;
    max[i] = self[i] = shared.self[lead];
    for (int column = at.t; column < columns; column += 4) max[i] = larger(max[i], shared.logits[first[i] + column]);
    max[i] = quad_max(max[i]);
    self[i] = exponential_from(self[i], max[i]);
    weight[i] = dropout.on() ? self[i] * dropout.of(lead, lead) : self[i];
  }
  float out[kPieces][2][4];
  clear(out);
  const T *values = left_place<kDim>(shared.class_v, kLeads) + d;
  const auto add = [&](const T *tile) {
    const Diagonal<T> weights(at, weight);
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      uint32_t right[4];
      load_matrices_transposed(right, tile + 16 * piece);
      weights.multiply(out[piece], right);
    }
  };
  add(values);
#pragma unroll 1
  for (int base = 0; base < columns; base += 4) {
    const int mine = base + at.t;
    float next[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      next[i] = mine < columns ? exponential_from(shared.logits[first[i] + mine], max[i]) : 0.0f;
      sum[i] += next[i];
      if (dropout.on() && mine < columns) next[i] *= dropout.factor(shared.state[first[i] + mine] / kKeptBeat, 0);
    }
#pragma unroll
    for (int u = 0; u < 4; ++u) {
#pragma unroll
      for (int i = 0; i < 2; ++i) weight[i] = __shfl_sync(kWholeWarp, next[i], at.lane / 4 * 4 + u);
      // Beyond the last column weights are zero.
      add(values + (1 + (base + u < columns ? base + u : 0)) * shared.kTile);
    }
  }
  bool wanted[2];
  T *row[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int lead = at.g + 8 * i;
    wanted[i] = lead < kLeads;
    row[i] = shared.place->template row<T>(p, CLEAR_OUT, lead) + written_column(at);
    sum[i] = quad_sum(sum[i]) + self[i];
    const float normalise = reciprocal(sum[i]);
#pragma unroll
    for (int j = 0; j < 4 * kPieces; ++j) out[j / 4][j / 2 % 2][j % 2 + 2 * i] *= normalise;
    if (at.t == 0 && wanted[i] && d == 0) shared.place->lse_of(p)[lead] = max[i] + logarithm(sum[i]);
  }
#pragma unroll
  for (int piece = 0; piece < kPieces; ++piece) {
    write_piece<T>(row, wanted, {true, true}, d + 16 * piece, at, out[piece]);
  }
}

template <typename T, int kDim, bool kDropout>
__global__ void __launch_bounds__((32 * kHeadWarps<kDim, false>), (kHeadBlocks<kDim, false>))
    head_forward(const __grid_constant__ ColumnsArguments args) {
  constexpr int kLeads = HeadShared<T, kDim, 3>::kLeads, kClassPieces = 2;
  const ClearProblem &p = args.problem;
  const int warps = args.plan.warps, columns = static_cast<int>(p.beats);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  Carver carver{dynamic_shared()};
  const HeadShared<T, kDim, 3> shared(carver, columns);
  begin_head(shared, args, ColumnsBlock(p, args.plan));
  copy_wait<0>();
  __syncthreads();
  if (warp == warps - 1) {
    list_visible(shared, p, 0);
    const LanePlace at;
    float self[2];
    TensorTile<T>::paired(self, {shared.class_q, shared.kLd, kLeads}, {shared.class_k, shared.kLd, kLeads}, 0, kDim);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (at.t == 0) shared.self[at.g + 8 * i] = product(self[i], args.scale);
    }
  }
#pragma unroll 1
  for (int column = warp; column < columns; column += warps) attend_column<kDropout>(args, shared, column);
  __syncthreads();
  const int count = *shared.count, tiles = (count + kTileRows - 1) / kTileRows;
#pragma unroll 1
  for (int unit = warp; unit < tiles + kDim / 16 / kClassPieces; unit += warps) {
    if (unit < tiles) {
      attend_visible<kDropout>(args, shared, unit * kTileRows, count);
    } else {
      attend_class_rows<kDropout, kClassPieces>(args, shared, (unit - tiles) * 16 * kClassPieces);
    }
  }
}

} // namespace clear_cuda
