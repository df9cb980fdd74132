// Writing fragments of results from registers to rows in global memory.
#pragma once

#include "fragment.cuh"

namespace clear_cuda {

// The first of the four columns that a lane writes with write_piece().
__device__ __forceinline__ int written_column(const LanePlace &at) {
  return at.t % 2 != 0 ? 8 + 2 * (at.t - 1) : 2 * at.t;
}

// Writes 16 columns of rows g and g + 8 from registers, zeros unless `real`. Two lanes exchange halves, so that the
// four of a row write 32 adjacent bytes.
template <typename T>
__device__ __forceinline__ void write_piece(T *const (&row)[2], const bool (&wanted)[2], const bool (&real)[2], int d,
                                            const LanePlace &at, const float (&out)[2][4]) {
  const bool odd = at.t % 2 != 0;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t low = pack2<T>(out[0][2 * i], out[0][2 * i + 1]), high = pack2<T>(out[1][2 * i], out[1][2 * i + 1]);
    const uint32_t other = __shfl_xor_sync(kWholeWarp, odd ? low : high, 1), own = odd ? high : low;
    const uint32_t x = real[i] ? (odd ? other : own) : 0, y = real[i] ? (odd ? own : other) : 0;
    if (wanted[i]) *reinterpret_cast<uint2 *>(row[i] + d) = make_uint2(x, y);
  }
}
} // namespace clear_cuda
