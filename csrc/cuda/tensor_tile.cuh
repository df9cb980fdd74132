// 16 x 16 products of bfloat16 or float16 tiles in shared memory on the tensor cores, summed in float.
// A tile is 16 rows of `ld` elements; `dim` is the number of columns, padded with zeros to a multiple of 16.
#pragma once

#include "fragment.cuh"
#include "ptx.cuh"

namespace clear_cuda {

template <typename T> struct TensorTile {
  using Element = T;
  using Weight = T;                   // how probabilities are kept in shared memory
  static constexpr int kPad = 8;      // 16 bytes: rows start at odd multiples of 16, so ldmatrix meets no conflict
  static constexpr int kScratch = 0;  // shared elements per warp that `weights` needs
  static constexpr int kWeightPad = 8;

  // The left operand [16 x 16] of accumulate().
  struct Weights {
    uint32_t a[4];
  };

  __device__ static const T *place(const T *tile, int ld) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    return tile + lane % 16 * ld + lane / 16 * 8;
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
    x[0] = __shfl_sync(kWholeWarp, at.g % 2 == 0 ? s[0][0] : s[0][1], holder);
    x[1] = __shfl_sync(kWholeWarp, at.g % 2 == 0 ? s[1][2] : s[1][3], holder);
  }

  // x = dot products of rows g and g + 8 of a with the same rows of b.
  __device__ static void paired(float (&x)[2], const T *a, const T *b, int ld, int dim) {
    float s[1][2][4];
    clear(s);
    scores<1>(s, a, b, ld, dim);
    diagonal(x, s[0]);
  }

  // For row tile r of a column of tiles: s[n] = a_r b_n^T, own = paired(a_r, class_b_r), foreign = paired(class_a_r, b_r).
  template <int kTiles>
  __device__ static void column_scores(float (&s)[kTiles][2][4], float (&own)[2], float (&foreign)[2], const T *a,
                                       const T *b, const T *class_a, const T *class_b, int r, int ld, int dim) {
    const int offset = r * kTileRows * ld;
    clear(s);
    float with_class[1][2][4], of_class[1][2][4];
    clear(with_class);
    clear(of_class);
    const T *a_at = place(a + offset, ld), *b_at = place(b, ld);
    const T *class_a_at = place(class_a + offset, ld), *class_b_at = place(class_b + offset, ld);
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
        load_matrices(right, b_at + n * kTileRows * ld + k);
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

  // Probabilities of a score tile as a left operand, straight from registers.
  __device__ static Weights weights(const Fragment &s, Weight *) {
    return {{pack2<T>(s[0][0], s[0][1]), pack2<T>(s[0][2], s[0][3]), pack2<T>(s[1][0], s[1][1]),
             pack2<T>(s[1][2], s[1][3])}};
  }

  // The way through shared memory, which also gives the transpose. The caller puts __syncwarp() between.
  __device__ static void put(Weight *target, int ld, const Fragment &s) {
    const LanePlace at;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int h = i / 2, e = i % 2 * 2;
      Weight *pair = target + fragment_row(at, e) * ld + fragment_column(at, h, e);
      *reinterpret_cast<uint32_t *>(pair) = pack2<T>(s[h][e], s[h][e + 1]);
    }
  }
  __device__ static Weights get(const Weight *source, int ld) {
    Weights w;
    load_matrices(w.a, place(source, ld));
    return w;
  }
  __device__ static Weights get_transposed(const Weight *source, int ld) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    Weights w;
    load_matrices_transposed(w.a, source + (lane % 8 + lane / 16 * 8) * ld + lane / 8 % 2 * 8);
    return w;
  }

  // out [16 x 16] += w b, where b is 16 columns of a tile. Columns of out: see first_column().
  __device__ static void accumulate(Fragment &out, const Weights &w, const T *b, int ld) {
    uint32_t right[4];
    load_matrices_transposed(right, place(b, ld));
    multiply_add<T>(out[0], w.a, right[0], right[1]);
    multiply_add<T>(out[1], w.a, right[2], right[3]);
  }

  // Rows g and g + 8 of out += factors times the same rows of b.
  __device__ static void accumulate_paired(Fragment &out, const float (&factor)[2], const T *b, int ld) {
    const LanePlace at;
    const bool even = 2 * at.t == at.g, odd = 2 * at.t + 1 == at.g;
    const Weights w = {{pack2<T>(even ? factor[0] : 0.0f, odd ? factor[0] : 0.0f), 0u, 0u,
                        pack2<T>(even ? factor[1] : 0.0f, odd ? factor[1] : 0.0f)}};
    accumulate(out, w, b, ld);
  }

  // out[h][0..1] and, eight rows below, out[h][2..3] are two adjacent columns, the first of them this one.
  __device__ static int first_column(const LanePlace &at, int h) { return 8 * h + 2 * at.t; }

  __device__ static void store_pair(T *target, float low, float high) {
    *reinterpret_cast<uint32_t *>(target) = pack2<T>(low, high);
  }
};

}  // namespace clear_cuda
