// How a warp holds a 16 x 16 tile of scores: lane 4 g + t has s[h][e], the element of row g + 8 (e / 2) and column
// 8 h + 2 t + e % 2. That is the tensor cores' own layout; the scalar tiles follow it, so that masks, softmax and
// dropout are written once.
#pragma once

#include "numeric.cuh"

namespace clear_cuda {

constexpr int kTileRows = 16;
constexpr uint32_t kWholeWarp = 0xffffffffu;

using Fragment = float[2][4];

// Tiles one below the other in shared memory, of which only the first `count` rows exist. The last one stands for those
// beyond, whose results nobody uses: so 12 leads take the room of 12 rows and not of 16.
template <typename T> struct TileRows {
  const T *data;
  int ld, count;
  __device__ const T *row(int r) const { return data + (r < count ? r : count - 1) * ld; }
  __device__ TileRows from(int column) const { return {data + column, ld, count}; }
};

struct LanePlace {
  int lane, g, t;
  __device__ LanePlace() : lane(static_cast<int>(threadIdx.x % 32u)), g(lane / 4), t(lane % 4) {}
};

__device__ __forceinline__ int fragment_row(const LanePlace &at, int e) { return at.g + 8 * (e / 2); }
__device__ __forceinline__ int fragment_column(const LanePlace &at, int h, int e) { return 8 * h + 2 * at.t + e % 2; }

// Over the four lanes that share rows g and g + 8.
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(kWholeWarp, x, 1);
  return x + __shfl_xor_sync(kWholeWarp, x, 2);
}
__device__ __forceinline__ float quad_max(float x) {
  x = larger(x, __shfl_xor_sync(kWholeWarp, x, 1));
  return larger(x, __shfl_xor_sync(kWholeWarp, x, 2));
}

template <int kTiles> __device__ __forceinline__ void clear(float (&tiles)[kTiles][2][4]) {
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 8; ++i) tiles[n][i / 4][i % 4] = 0.0f;
  }
}

} // namespace clear_cuda
