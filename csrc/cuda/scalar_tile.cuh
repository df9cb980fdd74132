// The same products for float32 with ordinary arithmetic: true float32, each lane working on its part of the fragments.
#pragma once

#include "fragment.cuh"
#include "ptx.cuh"

namespace clear_cuda {

struct ScalarTile {
  using Element = float;
  using Weight = float;
  static constexpr int kPad = 4;
  static constexpr int kWeightPad = 4;
  static constexpr int kScratchRows = kTileRows; // multiply() passes the weights through shared memory

  __device__ static float4 load4(const float *x) { return *reinterpret_cast<const float4 *>(x); }
  __device__ static float dot4(float4 a, float4 b, float sum) {
    sum = fmaf(a.x, b.x, sum);
    sum = fmaf(a.y, b.y, sum);
    sum = fmaf(a.z, b.z, sum);
    return fmaf(a.w, b.w, sum);
  }

  template <int kTiles>
  __device__ static void scores(float (&s)[kTiles][2][4], const float *a, const float *b, int ld, int dim) {
    row_scores<kTiles>(s, {a, ld, kTileRows}, {b, ld, kTiles * kTileRows}, 0, dim);
  }

  // s[n] += a_first b_n^T, where a_first are the rows from `first` on and b_n consecutive tiles.
  template <int kTiles>
  __device__ static void row_scores(float (&s)[kTiles][2][4], const TileRows<float> &a, const TileRows<float> &b,
                                    int first, int dim) {
    const LanePlace at;
    const float *upper_at = a.row(first + at.g), *lower_at = a.row(first + at.g + 8);
#pragma unroll 1
    for (int k = 0; k < dim; k += 4) {
      const float4 upper = load4(upper_at + k), lower = load4(lower_at + k);
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int h = i / 2, e = i % 2;
          const float4 right = load4(b.row(n * kTileRows + fragment_column(at, h, e)) + k);
          s[n][h][e] = dot4(upper, right, s[n][h][e]);
          s[n][h][e + 2] = dot4(lower, right, s[n][h][e + 2]);
        }
      }
    }
  }

  __device__ static void paired(float (&x)[2], const TileRows<float> &a, const TileRows<float> &b, int first, int dim) {
    const LanePlace at;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float *left = a.row(first + at.g + 8 * i), *right = b.row(first + at.g + 8 * i);
      x[i] = 0.0f;
#pragma unroll 1
      for (int k = 4 * at.t; k < dim; k += 16) x[i] = dot4(load4(left + k), load4(right + k), x[i]);
      x[i] = quad_sum(x[i]);
    }
  }

  template <int kTiles>
  __device__ static void column_scores(float (&s)[kTiles][2][4], float (&own)[2], float (&foreign)[2],
                                       const TileRows<float> &a, const TileRows<float> &b,
                                       const TileRows<float> &class_a, const TileRows<float> &class_b, int r, int dim) {
    clear(s);
    row_scores<kTiles>(s, a, b, r * kTileRows, dim);
    paired(own, a, class_b, r * kTileRows, dim);
    paired(foreign, class_a, b, r * kTileRows, dim);
  }

  __device__ static void put(Weight *target, int ld, const Fragment &s) {
    const LanePlace at;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int h = i / 2, e = i % 2 * 2;
      store_pair(target + fragment_row(at, e) * ld + fragment_column(at, h, e), s[h][e], s[h][e + 1]);
    }
  }

  template <int kPieces>
  __device__ static void multiply_stored(float (&out)[kPieces][2][4], const Weight *m, int weight_ld, bool transposed,
                                         int tiles, const TileRows<float> &b, int pieces) {
    const LanePlace at;
    const int row_stride = transposed ? 1 : weight_ld, column_stride = transposed ? weight_ld : 1;
    const float *upper = m + at.g * row_stride, *lower = upper + 8 * row_stride;
    const int rows = tiles * kTileRows < b.count ? tiles * kTileRows : b.count; // the others have no weight
#pragma unroll kPieces> 4 ? 1 : 2
    for (int k = 0; k < rows; ++k) {
      add_row<kPieces>(out, upper[k * column_stride], lower[k * column_stride], b.data + k * b.ld, pieces);
    }
  }

  template <int kTiles, int kPieces>
  __device__ static void multiply(float (&out)[kPieces][2][4], const float (&s)[kTiles][2][4], int tiles,
                                  const TileRows<float> &b, int pieces, Weight *scratch) {
    constexpr int kLd = kTiles * kTileRows + kWeightPad;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < kTiles; ++n) put(scratch + n * kTileRows, kLd, s[n]);
    __syncwarp();
    multiply_stored<kPieces>(out, scratch, kLd, false, tiles, b, pieces);
  }

  template <int kPieces>
  __device__ static void add_paired(float (&out)[kPieces][2][4], const float (&factor)[2], const TileRows<float> &b,
                                    int first, int pieces) {
    const LanePlace at;
    add_row<kPieces>(out, factor[0], 0.0f, b.row(first + at.g), pieces);
    add_row<kPieces>(out, 0.0f, factor[1], b.row(first + at.g + 8), pieces);
  }

  // Four adjacent columns per lane and piece.
  template <int kPieces>
  __device__ static void add_row(float (&out)[kPieces][2][4], float upper, float lower, const float *row, int pieces) {
    row += 4 * LanePlace().t;
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      if (j >= pieces) break;
      const float4 x = load4(row + 16 * j);
      const float columns[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        out[j][i / 2][i % 2] = fmaf(upper, columns[i], out[j][i / 2][i % 2]);
        out[j][i / 2][i % 2 + 2] = fmaf(lower, columns[i], out[j][i / 2][i % 2 + 2]);
      }
    }
  }

  __device__ static int first_column(const LanePlace &at, int h) { return 4 * at.t + 2 * h; }

  __device__ static void store_pair(float *target, float low, float high) {
    *reinterpret_cast<float2 *>(target) = make_float2(low, high);
  }
};

} // namespace clear_cuda
