// The same products for float32 with ordinary arithmetic: true float32, each lane working on its part of the fragment.
#pragma once

#include "fragment.cuh"
#include "ptx.cuh"

namespace clear_cuda {

struct ScalarTile {
  using Element = float;
  using Weight = float;
  static constexpr int kPad = 4;
  static constexpr int kWeightPad = 4;
  static constexpr int kScratchLd = kTileRows + kWeightPad;
  static constexpr int kScratch = kTileRows * kScratchLd;

  struct Weights {
    const float *base;
    int row_stride, column_stride;
  };

  __device__ static float4 load4(const float *x) { return *reinterpret_cast<const float4 *>(x); }
  __device__ static float dot4(float4 a, float4 b, float sum) {
    sum = fmaf(a.x, b.x, sum);
    sum = fmaf(a.y, b.y, sum);
    sum = fmaf(a.z, b.z, sum);
    return fmaf(a.w, b.w, sum);
  }

  template <int kTiles>
  __device__ static void scores(float (&s)[kTiles][2][4], const float *a, const float *b, int ld, int dim) {
    const LanePlace at;
#pragma unroll 2
    for (int k = 0; k < dim; k += 4) {
      const float4 upper = load4(a + at.g * ld + k), lower = load4(a + (at.g + 8) * ld + k);
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int h = i / 2, e = i % 2;
          const float4 right = load4(b + (n * kTileRows + fragment_column(at, h, e)) * ld + k);
          s[n][h][e] = dot4(upper, right, s[n][h][e]);
          s[n][h][e + 2] = dot4(lower, right, s[n][h][e + 2]);
        }
      }
    }
  }

  __device__ static void paired(float (&x)[2], const float *a, const float *b, int ld, int dim) {
    const LanePlace at;
    x[0] = x[1] = 0.0f;
    for (int k = 4 * at.t; k < dim; k += 16) {
      x[0] = dot4(load4(a + at.g * ld + k), load4(b + at.g * ld + k), x[0]);
      x[1] = dot4(load4(a + (at.g + 8) * ld + k), load4(b + (at.g + 8) * ld + k), x[1]);
    }
    x[0] = quad_sum(x[0]);
    x[1] = quad_sum(x[1]);
  }

  template <int kTiles>
  __device__ static void column_scores(float (&s)[kTiles][2][4], float (&own)[2], float (&foreign)[2], const float *a,
                                       const float *b, const float *class_a, const float *class_b, int r, int ld,
                                       int dim) {
    const int offset = r * kTileRows * ld;
    clear(s);
    scores<kTiles>(s, a + offset, b, ld, dim);
    paired(own, a + offset, class_b + offset, ld, dim);
    paired(foreign, class_a + offset, b + offset, ld, dim);
  }

  __device__ static Weights weights(const Fragment &s, Weight *scratch) {
    __syncwarp();
    put(scratch, kScratchLd, s);
    __syncwarp();
    return get(scratch, kScratchLd);
  }

  __device__ static void put(Weight *target, int ld, const Fragment &s) {
    const LanePlace at;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int h = i / 2, e = i % 2 * 2;
      float *pair = target + fragment_row(at, e) * ld + fragment_column(at, h, e);
      *reinterpret_cast<float2 *>(pair) = make_float2(s[h][e], s[h][e + 1]);
    }
  }
  __device__ static Weights get(const Weight *source, int ld) { return {source, ld, 1}; }
  __device__ static Weights get_transposed(const Weight *source, int ld) { return {source, 1, ld}; }

  __device__ static void accumulate(Fragment &out, const Weights &w, const float *b, int ld) {
    const LanePlace at;
    const float *upper = w.base + at.g * w.row_stride, *lower = w.base + (at.g + 8) * w.row_stride;
#pragma unroll 4
    for (int k = 0; k < kTileRows; ++k) add_row(out, upper[k * w.column_stride], lower[k * w.column_stride], b + k * ld);
  }

  __device__ static void accumulate_paired(Fragment &out, const float (&factor)[2], const float *b, int ld) {
    const LanePlace at;
    add_row(out, factor[0], 0.0f, b + at.g * ld);
    add_row(out, 0.0f, factor[1], b + (at.g + 8) * ld);
  }

  // Four adjacent columns per lane.
  __device__ static void add_row(Fragment &out, float upper, float lower, const float *row) {
    const float4 x = load4(row + 4 * LanePlace().t);
    const float columns[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out[i / 2][i % 2] = fmaf(upper, columns[i], out[i / 2][i % 2]);
      out[i / 2][i % 2 + 2] = fmaf(lower, columns[i], out[i / 2][i % 2 + 2]);
    }
  }

  __device__ static int first_column(const LanePlace &at, int h) { return 4 * at.t + 2 * h; }

  __device__ static void store_pair(float *target, float low, float high) {
    *reinterpret_cast<float2 *>(target) = make_float2(low, high);
  }
};

}  // namespace clear_cuda
