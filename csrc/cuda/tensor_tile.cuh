// Products of bfloat16 or float16 tiles in shared memory on the tensor cores, summed in float. A tile is 16 rows of
// `ld` elements; `dim` is the number of its columns, padded with zeros to a multiple of 16. Results come in pieces of
// 16 columns, of which the first `pieces` are computed.
#pragma once

#include "fragment.cuh"
#include "ptx.cuh"

namespace clear_cuda {

template <typename T> struct TensorTile {
  using Element = T;
  using Weight = T;              // how probabilities are kept in shared memory
  static constexpr int kPad = 8; // 16 bytes: rows start at odd multiples of 16, so ldmatrix meets no bank conflict
  static constexpr int kWeightPad = 8;
  static constexpr int kScratchRows = 0; // multiply() needs no shared memory

  __device__ static const T *place(const T *tile, int ld) {
    const int lane = static_cast<int>(threadIdx.x % 32u);
    return tile + lane % 16 * ld + lane / 16 * 8;
  }

  __device__ static const T *place(const TileRows<T> &tiles, int first) {
    const int lane = static_cast<int>(threadIdx.x % 32u);
    return tiles.row(first + lane % 16) + lane / 16 * 8;
  }

  // s[n] += a b_n^T, where b_n are consecutive tiles.
  template <int kTiles>
  __device__ static void scores(float (&s)[kTiles][2][4], const T *a, const T *b, int ld, int dim) {
    a = place(a, ld);
    b = place(b, ld);
#pragma unroll 2
    for (int k = 0; k < dim; k += 16) {
      uint32_t left[4], right[4];
      load_matrices(left, a + k);
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        load_matrices(right, b + n * kTileRows * ld + k);
        multiply_add<T>(s[n][0], left, right[0], right[2]);
        multiply_add<T>(s[n][1], left, right[1], right[3]);
      }
    }
  }

  // The diagonal of a 16 x 16 tile: elements (g, g) and (g + 8, g + 8), in all four lanes of the row.
  __device__ static void diagonal(float (&x)[2], const Fragment &s) {
    const LanePlace at;
    const int holder = at.g * 4 + at.g / 2;
    const bool odd = at.g % 2 != 0;
    x[0] = __shfl_sync(kWholeWarp, odd ? s[0][1] : s[0][0], holder);
    x[1] = __shfl_sync(kWholeWarp, odd ? s[1][3] : s[1][2], holder);
  }

  // x = dot products of rows first + g and first + g + 8 of a with the same rows of b.
  __device__ static void paired(float (&x)[2], const TileRows<T> &a, const TileRows<T> &b, int first, int dim) {
    const T *a_at = place(a, first), *b_at = place(b, first);
    Fragment s[1];
    clear(s);
#pragma unroll 2
    for (int k = 0; k < dim; k += 16) {
      uint32_t left[4], right[4];
      load_matrices(left, a_at + k);
      load_matrices(right, b_at + k);
#pragma unroll
      for (int h = 0; h < 2; ++h) multiply_add<T>(s[0][h], left, right[h], right[h + 2]);
    }
    diagonal(x, s[0]);
  }

  // For row tile r of a column of tiles: s[n] = a_r b_n^T, own = paired(a, class_b), foreign = paired(class_a, b).
  template <int kTiles>
  __device__ static void column_scores(float (&s)[kTiles][2][4], float (&own)[2], float (&foreign)[2],
                                       const TileRows<T> &a, const TileRows<T> &b, const TileRows<T> &class_a,
                                       const TileRows<T> &class_b, int r, int dim) {
    clear(s);
    Fragment with_class[1], of_class[1];
    clear(with_class);
    clear(of_class);
    const int first = r * kTileRows;
    const T *a_at = place(a, first), *class_a_at = place(class_a, first), *class_b_at = place(class_b, first);
    const T *b_at[kTiles];
#pragma unroll
    for (int n = 0; n < kTiles; ++n) b_at[n] = place(b, n * kTileRows);
#pragma unroll kTiles == 1 ? 2 : 1
    for (int k = 0; k < dim; k += 16) {
      uint32_t left[4], class_left[4], right[4], class_right[4];
      load_matrices(left, a_at + k);
      load_matrices(class_left, class_a_at + k);
      load_matrices(class_right, class_b_at + k);
#pragma unroll
      for (int h = 0; h < 2; ++h) multiply_add<T>(with_class[0][h], left, class_right[h], class_right[h + 2]);
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        load_matrices(right, b_at[n] + k);
#pragma unroll
        for (int h = 0; h < 2; ++h) multiply_add<T>(s[n][h], left, right[h], right[h + 2]);
        if (n != r) continue;
#pragma unroll
        for (int h = 0; h < 2; ++h) multiply_add<T>(of_class[0][h], class_left, right[h], right[h + 2]);
      }
    }
    diagonal(own, with_class[0]);
    diagonal(foreign, of_class[0]);
  }

  // Keeps a tile of scores as weights, for multiply_stored() after __syncwarp().
  __device__ static void put(Weight *target, int ld, const Fragment &s) {
    const LanePlace at;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int h = i / 2, e = i % 2 * 2;
      Weight *pair = target + fragment_row(at, e) * ld + fragment_column(at, h, e);
      *reinterpret_cast<uint32_t *>(pair) = pack2<T>(s[h][e], s[h][e + 1]);
    }
  }

  // out += m b for a row of `tiles` stored 16 x 16 tiles m, or for a column of them, each transposed.
  template <int kPieces>
  __device__ static void multiply_stored(float (&out)[kPieces][2][4], const Weight *m, int weight_ld, bool transposed,
                                         int tiles, const TileRows<T> &b, int pieces) {
    const int lane = static_cast<int>(threadIdx.x % 32u);
    m = transposed ? m + (lane % 8 + lane / 16 * 8) * weight_ld + lane / 8 % 2 * 8 : place(m, weight_ld);
    const int step = transposed ? kTileRows * weight_ld : kTileRows;
#pragma unroll 1
    for (int n = 0; n < tiles; ++n) {
      uint32_t left[4];
      if (transposed) {
        load_matrices_transposed(left, m + n * step);
      } else {
        load_matrices(left, m + n * step);
      }
      multiply_pieces<kPieces>(out, left, place(b, n * kTileRows), pieces);
    }
  }

  // out += s b for a row of score tiles still in registers, the first `tiles` of them.
  template <int kTiles, int kPieces>
  __device__ static void multiply(float (&out)[kPieces][2][4], const float (&s)[kTiles][2][4], int tiles,
                                  const TileRows<T> &b, int pieces, Weight *) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (n >= tiles) break;
      const uint32_t left[4] = {pack2<T>(s[n][0][0], s[n][0][1]), pack2<T>(s[n][0][2], s[n][0][3]),
                                pack2<T>(s[n][1][0], s[n][1][1]), pack2<T>(s[n][1][2], s[n][1][3])};
      multiply_pieces<kPieces>(out, left, place(b, n * kTileRows), pieces);
    }
  }

  // Rows g and g + 8 of out += factors times rows first + g and first + g + 8 of b: a product with a diagonal matrix.
  template <int kPieces>
  __device__ static void add_paired(float (&out)[kPieces][2][4], const float (&factor)[2], const TileRows<T> &b,
                                    int first, int pieces) {
    const LanePlace at;
    const bool even = 2 * at.t == at.g, odd = 2 * at.t + 1 == at.g;
    const uint32_t left[4] = {pack2<T>(even ? factor[0] : 0.0f, odd ? factor[0] : 0.0f), 0u, 0u,
                              pack2<T>(even ? factor[1] : 0.0f, odd ? factor[1] : 0.0f)};
    multiply_pieces<kPieces>(out, left, place(b, first), pieces);
  }

  // b: this lane's place in a tile.
  template <int kPieces>
  __device__ static void multiply_pieces(float (&out)[kPieces][2][4], const uint32_t (&left)[4], const T *b,
                                         int pieces) {
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      if (j >= pieces) break;
      uint32_t right[4];
      load_matrices_transposed(right, b + j * 16);
      multiply_add<T>(out[j][0], left, right[0], right[1]);
      multiply_add<T>(out[j][1], left, right[2], right[3]);
    }
  }

  // out[j][h][0..1] and, eight rows below, out[j][h][2..3] are two adjacent columns of piece j, the first this one.
  __device__ static int first_column(const LanePlace &at, int h) { return 8 * h + 2 * at.t; }

  __device__ static void store_pair(T *target, float low, float high) {
    *reinterpret_cast<uint32_t *>(target) = pack2<T>(low, high);
  }
};

} // namespace clear_cuda
