// Forward of short recordings with visible beats, see head.cuh. A warp takes a beat column at a time; then 16 visible
// beats, or class rows.
#pragma once

#include "beat_forward.cuh"
#include "head.cuh"

namespace clear_cuda {

// Starts bringing kRows rows of q to this warp's tile, as far as they are `wanted`. `first`: the head's row of token 0;
// position(r): of the token that is row r.
template <int kRows, typename T, int kDim, typename Position>
__device__ __forceinline__ void stage_queries(const HeadShared<T, kDim, false> &shared, const ClearProblem &p,
                                              const T *first, bool wanted, Position position) {
  using Layout = HeadRows<kDim, false>;
  constexpr int kAcross = kDim / 8, kStep = 32 / kAcross; // lanes to a row, rows at a time
  const int lane = held(static_cast<int>(threadIdx.x % 32u)), eight = lane % kAcross;
  T *target = shared.warp_tile() + Layout::place(lane / kAcross, eight);
#pragma unroll
  for (int start = 0; start < kRows; start += kStep) {
    const int row = start + lane / kAcross;
    copy16_if(wanted && row < kRows, target + Layout::at(start),
              row_behind(first + 8 * eight, p.rows[CLEAR_Q], position(row)), true);
  }
  copy_commit();
}
// Those of a beat column, if there is one.
template <typename T, int kDim>
__device__ __forceinline__ void stage_column(const HeadShared<T, kDim, false> &shared, const ClearProblem &p,
                                             const T *first, int column) {
  const int columns = static_cast<int>(p.beats);
  stage_queries<kUsualLeads>(shared, p, first, column < columns,
                             [&](int lead) { return kUsualLeads + lead * columns + column; });
}

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
__device__ __forceinline__ void attend_visible(const ColumnsArguments &args, const HeadShared<T, kDim, false> &shared,
                                               int first, int count) {
  using Layout = HeadRows<kDim, false>;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const ListedRows rows(shared.list, first, count);
  const Listed mine[2] = {rows.row(at.g), rows.row(at.g + 8)};
  __syncwarp(); // all lanes have read the rows before
  stage_queries<kTileRows>(shared, p, static_cast<const T *>(shared.place->first[CLEAR_Q]), true,
                           [&](int row) { return rows.row(row).position; });

  uint32_t left[kDim / 16][4];
  float with_class[2][4] = {}, own[2], max[2], sum[2] = {0.0f, 0.0f};
  const T *q = left_place<Layout>(shared.warp_tile(), kTileRows);
  const T *class_k = shared.class_k + right_offset<Layout, true>(rows);
  copy_wait<0>();
  __syncwarp();
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

// One warp: the local rows of a beat column, whose rows of q are under way, and what its beats are to their class
// tokens. Then the next column's are under way. left, right: elements to this lane's place in twelve rows, as
// left_place() and right_place() have it.
template <bool kDropout, typename T, int kDim>
__device__ __forceinline__ void attend_column(const ColumnsArguments &args, const HeadShared<T, kDim, false> &shared,
                                              int column, int left, int right) {
  using Layout = HeadRows<kDim, false>;
  constexpr int kLeads = HeadShared<T, kDim, false>::kLeads;
  const ClearProblem &p = args.problem;
  const BeatDropout<!kDropout> dropout = shared.place->template dropout<kDropout>(p);
  const LanePlace at;
  const int columns = static_cast<int>(p.beats);
  const Marks marks = shared.marks[column];
  const uint32_t bits = beat_bits(dropout, p, at, column);
  const int first = kLeads * (1 + column);
  float s[2][4], own[2], foreign[2], max[2], sum[2];
  copy_wait<0>();
  __syncwarp();
  beat_scores<Layout, kDim>(s, own, foreign, shared.warp_tile() + left, shared.class_k + Layout::moved(right, first),
                            shared.class_q + left, shared.class_k + right);
  __syncwarp(); // all lanes have read
  stage_column(shared, p, static_cast<const T *>(shared.place->first[CLEAR_Q]), column + shared.kWarps);
  beat_softmax(s, own, max, sum, args, at, column_masks(marks), dropout, bits);

  const bool real[2] = {marked(marks, at.g), marked(marks, at.g + 8)};
  const bool wanted[2] = {marked(marks, kHidden + at.g), marked(marks, kHidden + at.g + 8)};
  T *const upper = shared.place->template row<T>(p, CLEAR_OUT, kLeads + at.g * columns + column) + written_column(at);
  T *const lower = row_behind(upper, p.rows[CLEAR_OUT], 8 * columns);
  // Of the four lanes that know a row, the first keeps row g and the second row g + 8.
  if (const int lead = at.g + 8 * at.t; lead < kLeads) {
    const bool second = at.t != 0, valid = marked(marks, lead);
    const int beat = lead * columns + column;
    const float lse = (second ? max[1] : max[0]) + logarithm(second ? sum[1] : sum[0]);
    shared.logits[beat] = valid ? product(second ? foreign[1] : foreign[0], args.scale) : -infinity<float>();
    shared.lse[beat] = !marked(marks, kHidden + lead) ? -infinity<float>() : valid ? lse : infinity<float>();
    if (kDropout) shared.kept[beat] = bits >> (10 + at.t) & 1u;
  }
  beat_values<Layout, kDim>(shared.class_v + Layout::moved(left, first), shared.class_v + left, at, s, own,
                            [&](int piece, const float (&out)[2][4], const uint32_t (&)[4]) {
                              write_piece<T>({upper, lower}, wanted, real, 16 * piece, at, out);
                            });
}

// One warp: the class rows, whose logits are there. Four lanes to a row, of which each makes weights of a column in
// four; they take the place of the logits.
template <bool kDropout, typename T, int kDim>
__device__ __forceinline__ void attend_class_rows(const ColumnsArguments &args,
                                                  const HeadShared<T, kDim, false> &shared) {
  constexpr int kLeads = HeadShared<T, kDim, false>::kLeads;
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
  constexpr int kLeads = HeadShared<T, kDim, false>::kLeads;
  const ClearProblem &p = args.problem;
  constexpr int warps = kHeadWarps<kDim, false>;
  const int columns = static_cast<int>(p.beats);
  const int warp = static_cast<int>(threadIdx.x / 32u);
  Carver carver{dynamic_shared()};
  const HeadShared<T, kDim, false> shared(carver, columns);
  {
    const HeadBlock block(p);
    stage_column(shared, p, token_row<const T>(p.rows[CLEAR_Q], block.batch, block.head, 0), warp);
    begin_head(shared, p, block);
  }
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
  const int left = held(static_cast<int>(left_place<Layout>(shared.class_q, kLeads) - shared.class_q));
  const int right = held(static_cast<int>(right_place<Layout>(shared.class_k, kLeads) - shared.class_k));
#pragma unroll 1
  for (int column = warp; column < columns; column += warps) attend_column<kDropout>(args, shared, column, left, right);
  copy_wait<0>(); // of the group behind the last column, which is empty
  __syncthreads();
#pragma unroll 1
  for (int beat = static_cast<int>(threadIdx.x); beat < kLeads * columns; beat += 32 * warps) {
    if (const float lse = shared.lse[beat]; lse != -infinity<float>()) shared.place->lse[kLeads + beat] = lse;
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
