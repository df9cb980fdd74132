// What the beat kernels share: the local part in the usual shapes, up to 16 leads of 16-bit rows whose length kDim the
// compiler knows, as it does kLeads unless that is 0. A warp takes a heartbeat; only its rows lie in shared memory,
// what is computed stays in registers, and class rows gather their sums on the tensor cores. The columns kernels serve
// the other shapes.
#pragma once

#include "columns.cuh"

namespace clear_cuda {

// Elements from one row of a tile to the next: an odd number of 16 bytes, so that ldmatrix meets no bank conflict.
template <int kDim> constexpr int kBeatLd = kDim + 8;

// How rows lie in shared memory. place(): elements from the first row to eight of a row; moved(): to the same of a row
// `rows` further on, a multiple of four; load() reads the matrices `k` columns further on.
template <int kDim> struct PaddedRows {
  static constexpr __host__ __device__ int at(int row) { return row * kBeatLd<kDim>; }
  static constexpr __device__ int place(int row, int eight) { return at(row) + 8 * eight; }
  static constexpr __device__ int moved(int place, int rows) { return place + at(rows); }
  template <typename T> static __device__ __forceinline__ void load(uint32_t (&x)[4], const T *place, int k) {
    load_matrices(x, place + k);
  }
  template <typename T>
  static __device__ __forceinline__ void load_transposed(uint32_t (&x)[4], const T *place, int k) {
    load_matrices_transposed(x, place + k);
  }
};

// The leads of a standard electrocardiogram, for which there are kernels of their own.
constexpr int kUsualLeads = 12;

// Largest blocks, and how many of them the compiler keeps registers for on a multiprocessor. A warp's class sums are in
// registers, in the backward pass those of three tensors.
// Turing, which has shared memory for half of them, is given more registers.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <int kDim, bool kPlain> constexpr int kBeatForwardBlocks = 2;
#else
template <int kDim, bool kPlain>
constexpr int kBeatForwardBlocks = kDim == 32             ? (kPlain ? 5 : 4)
                                   : kDim == 64 && kPlain ? 4
                                   : kDim <= 96           ? 3
                                                          : 2;
#endif
constexpr int kBeatBackwardBlocks = 2;

// A lane's share of the rows of a column: 16 bytes at a time, kAcross lanes to a row.
template <int kDim, int kLeads> struct LaneRows {
  static constexpr int kPieces = kDim / 8;
  static constexpr int kAcross = kPieces == 12 ? 4 : kPieces;
  static constexpr int kRepeats = kPieces / kAcross; // accesses of a lane to a row
  static constexpr int kRows = 32 / kAcross;         // rows at a time
  static constexpr int kSteps = ((kLeads == 0 ? kTileRows : kLeads) + kRows - 1) / kRows;
  int lead, element, leads; // of the lane's first 16 bytes; and how many leads there are

  __device__ explicit LaneRows(int leads_) : leads(leads_) {
    const int lane = static_cast<int>(threadIdx.x % 32u);
    lead = lane / kAcross;
    element = lane % kAcross * 8;
  }
  __device__ int in_tile() const { return PaddedRows<kDim>::at(lead) + element; }
  // From the first rows of a tile to those of a step.
  static constexpr __device__ int step_in_tile(int step) { return PaddedRows<kDim>::at(step * kRows); }
  // Whether the row of this lane in a step exists.
  __device__ bool has(int step) const { return kLeads == kSteps * kRows || lead + step * kRows < leads; }
};

// The place of a lane's first 16 bytes in the column that its warp has come to, of one tensor.
template <typename T, int kDim, int kLeads, int kTensor> struct Cursor {
  using Rows = LaneRows<kDim, kLeads>;
  T *at;

  __device__ Cursor(const ColumnsArguments &args, const ColumnsBlock &block, const Rows &rows, int64_t column) {
    const ClearProblem &p = args.problem;
    at = token_row<T>(p.rows[kTensor], block.batch, block.head, p.leads + column) +
         rows.lead * args.lead_step[kTensor] + rows.element;
  }
  // To the warp's next column.
  __device__ void advance(const ColumnsArguments &args) { at += args.column_step[kTensor]; }

  // Starts bringing the rows that `wanted` marks to a tile; the others become zero.
  __device__ __forceinline__ void stage(T *tile, const ColumnsArguments &args, const Rows &rows,
                                        uint32_t wanted) const {
    const T *row = at;
    T *target = tile + rows.in_tile();
    const uint32_t bits = wanted >> rows.lead;
    const int64_t step_elements = Rows::kRows * args.lead_step[kTensor];
#pragma unroll
    for (int step = 0; step < Rows::kSteps; ++step) {
      const bool there = (bits >> (step * Rows::kRows) & 1) != 0;
#pragma unroll
      for (int repeat = 0; repeat < Rows::kRepeats; ++repeat) {
        const int element = repeat * Rows::kAcross * 8;
        copy16_if(rows.has(step), target + Rows::step_in_tile(step) + element, row + element, there);
      }
      row += step_elements;
    }
  }
  // Writes the rows of a tile that `wanted` marks.
  __device__ __forceinline__ void store(const T *tile, const ColumnsArguments &args, const Rows &rows,
                                        uint32_t wanted) const {
    T *row = at;
    const T *source = tile + rows.in_tile();
    const uint32_t bits = wanted >> rows.lead;
    const int64_t step_elements = Rows::kRows * args.lead_step[kTensor];
#pragma unroll
    for (int step = 0; step < Rows::kSteps; ++step) {
      if (rows.has(step) && (bits >> (step * Rows::kRows) & 1) != 0) {
#pragma unroll
        for (int repeat = 0; repeat < Rows::kRepeats; ++repeat) {
          const int element = repeat * Rows::kAcross * 8;
          *reinterpret_cast<uint4 *>(row + element) =
              *reinterpret_cast<const uint4 *>(source + Rows::step_in_tile(step) + element);
        }
      }
      row += step_elements;
    }
  }
};

// A call is plain if every beat is local and real and nothing is dropped.
__host__ __device__ inline bool is_plain(const ClearProblem &p) {
  return p.form == CLEAR_LOCAL && p.valid.data == nullptr && p.seed == nullptr;
}

template <bool kPlain>
__device__ __forceinline__ ColumnMasks<1> beat_masks(const ClearProblem &p, int64_t batch, int64_t column, int leads) {
  if (kPlain || (p.form == CLEAR_LOCAL && p.valid.data == nullptr)) return ColumnMasks<1>(leads);
  return ColumnMasks<1>(LaneMarks<1>(p, batch, column));
}

// Dropout that the compiler knows to be off in a plain call.
template <bool kPlain> struct BeatDropout : Dropout<float> {
  __device__ bool on() const { return !kPlain && Dropout<float>::on(); }
  __device__ float of(int64_t query, int64_t key) const { return kPlain ? 1.0f : Dropout<float>::of(query, key); }
};

// Which entries of rows g and g + 8 dropout keeps in a column: bits 4 h + e of s[h][e], 8 + i of the beats' attention
// to their class tokens, 10 + i of those to them. To be asked for while few registers are in use.
template <bool kPlain>
__device__ __forceinline__ uint32_t beat_bits(const BeatDropout<kPlain> &dropout, const ClearProblem &p,
                                              const LanePlace &at, int64_t column) {
  if (!dropout.on()) return ~0u;
  return dropout.template bits<12>([&](int i) {
    const int lead = at.g + 8 * (i < 8 ? i / 2 % 2 : i % 2);
    const int64_t beat = beat_position(p, lead, column);
    if (i < 8) return Entry{beat, beat_position(p, fragment_column(at, i / 4, i % 4), column)};
    return i < 10 ? Entry{beat, lead} : Entry{lead, beat};
  });
}
// The factor of entry i; 1 without dropout, when all bits are set.
template <bool kPlain>
__device__ __forceinline__ float beat_factor(const BeatDropout<kPlain> &dropout, uint32_t bits, int i) {
  return dropout.on() ? dropout.factor(bits, i) : 1.0f;
}

// This lane's place in a tile of `leads` rows, of which the last stands for those beyond it: of a left operand, or,
// transposed, of a right one.
template <typename Layout, typename T>
__device__ __forceinline__ const T *left_place(const T *tile, int leads, int first = 0) {
  const int lane = static_cast<int>(threadIdx.x % 32u), row = lane % 16;
  return tile + Layout::moved(Layout::place(row < leads ? row : leads - 1, lane / 16), first);
}
// Of a right operand whose columns are the tile's rows.
template <typename Layout, typename T>
__device__ __forceinline__ const T *right_place(const T *tile, int leads, int first = 0) {
  const int lane = static_cast<int>(threadIdx.x % 32u), row = lane % 8 + lane / 16 * 8;
  return tile + Layout::moved(Layout::place(row < leads ? row : leads - 1, lane / 8 % 2), first);
}

// out += left times 16 columns of a right operand.
template <typename T>
__device__ __forceinline__ void multiply_piece(float (&out)[2][4], const uint32_t (&left)[4],
                                               const uint32_t (&right)[4]) {
#pragma unroll
  for (int h = 0; h < 2; ++h) multiply_add<T>(out[h], left, right[2 * h], right[2 * h + 1]);
}

// The logits, or their gradients, of a column and of its beats with their class tokens: s = a b^T, own[i] = (row of a)
// (its row of class_b), foreign[i] = (row of class_a) (its row of b), for rows g and g + 8. Tiles by left_place() and,
// of b and class_b, right_place().
template <typename Layout, int kDim, typename T>
__device__ __forceinline__ void beat_scores(float (&s)[2][4], float (&own)[2], float (&foreign)[2], const T *a,
                                            const T *b, const T *class_a, const T *class_b) {
  float with_class[2][4] = {}, of_class[2][4] = {};
#pragma unroll
  for (int i = 0; i < 8; ++i) s[i / 4][i % 4] = 0.0f;
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    uint32_t left[4], right[4], class_left[4], class_right[4];
    Layout::load(left, a, k);
    Layout::load(right, b, k);
    Layout::load(class_left, class_a, k);
    Layout::load(class_right, class_b, k);
    multiply_piece<T>(s, left, right);
    multiply_piece<T>(with_class, left, class_right);
    multiply_piece<T>(of_class, class_left, right);
  }
  TensorTile<T>::diagonal(own, with_class);
  TensorTile<T>::diagonal(foreign, of_class);
}

// x = dot products of rows g and g + 8 of a tile with the same rows of another.
template <typename T, typename Layout, int kDim>
__device__ __forceinline__ void paired_rows(float (&x)[2], const T *a, const T *b, int leads) {
  const T *a_left = left_place<Layout>(a, leads), *b_right = right_place<Layout>(b, leads);
  float s[2][4] = {};
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    uint32_t left[4], right[4];
    Layout::load(left, a_left, k);
    Layout::load(right, b_right, k);
    multiply_piece<T>(s, left, right);
  }
  TensorTile<T>::diagonal(x, s);
}

// A 16 x 16 tile of scores as the left operand of a product.
template <typename T> __device__ __forceinline__ void as_left(uint32_t (&left)[4], const float (&s)[2][4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) left[i] = pack2<T>(s[i / 2][i % 2 * 2], s[i / 2][i % 2 * 2 + 1]);
}

// The diagonal matrix of x[0] in rows g and x[1] in rows g + 8; its two other quarters are zero.
template <typename T> struct Diagonal {
  uint32_t upper, lower;
  __device__ Diagonal(const LanePlace &at, const float (&x)[2]) {
    const bool even = 2 * at.t == at.g, odd = 2 * at.t + 1 == at.g;
    upper = pack2<T>(even ? x[0] : 0.0f, odd ? x[0] : 0.0f);
    lower = pack2<T>(even ? x[1] : 0.0f, odd ? x[1] : 0.0f);
  }
  // out += this times 16 columns of a tile, read by load_matrices_transposed().
  __device__ __forceinline__ void multiply(float (&out)[2][4], const uint32_t (&right)[4]) const {
    const uint32_t left[4] = {upper, 0u, 0u, lower};
    multiply_piece<T>(out, left, right);
  }
};

// Places 16 columns of results into rows g and g + 8 of a tile, as far as it has them; zero unless `real`.
template <typename T, int kDim>
__device__ __forceinline__ void put_piece(T *tile, int leads, const LanePlace &at, const float (&out)[2][4],
                                          const bool (&real)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = at.g + 8 * i;
    T *target = tile + row * kBeatLd<kDim> + 2 * at.t;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const uint32_t pair = pack2<T>(out[h][2 * i], out[h][2 * i + 1]);
      if (row < leads) *reinterpret_cast<uint32_t *>(target + 8 * h) = real[i] ? pair : 0u;
    }
  }
}

// Places 16 columns of sums over a warp's columns into rows of `ld` floats.
__device__ __forceinline__ void put_sums(float *rows, int ld, int leads, const LanePlace &at,
                                         const float (&sums)[2][4]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = at.g + 8 * i;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float2 pair = make_float2(sums[h][2 * i], sums[h][2 * i + 1]);
      if (row < leads) *reinterpret_cast<float2 *>(rows + row * ld + 8 * h + 2 * at.t) = pair;
    }
  }
}

} // namespace clear_cuda
