// Forward of few packed tokens, see packed.cuh.
#pragma once

#include "packed.cuh"

namespace clear_cuda {

template <typename T, int kDim>
__global__ void __launch_bounds__(32 * kPackedTiles, kPackedBlocks)
    packed_forward(const __grid_constant__ ColumnsArguments args) {
  const ClearProblem &p = args.problem;
  const int tiles = args.plan.warps;
  const ColumnsBlock block(p, args.plan);
  const LanePlace at;
  Carver carver{dynamic_shared()};
  const PackedShared<T, kDim, 3> shared(carver, tiles);
  stage_packed(shared, p, block);
  const PackedRows rows(p, block, at);
  const Dropout<float> dropout = {p, block.batch, block.head};
  const uint32_t bits = dropout.on() ? packed_bits(dropout, rows, at) : ~0u;
  copy_wait<0>();
  __syncthreads();

  const int first = block.warp * kTileRows * shared.kLd;
  const uint32_t meets = packed_meetings(rows, shared.answers, tiles, at);
  float s[kPackedTiles][2][4], max[2] = {-infinity<float>(), -infinity<float>()}, sum[2] = {0.0f, 0.0f};
  packed_scores<T, kDim>(s, TensorTile<T>::place(shared.q + first, shared.kLd), right_lane(shared.k, shared.kLd),
                         tiles);
#pragma unroll
  for (int i = 0; i < 8 * kPackedTiles; ++i) {
    float &x = s[i / 8][i / 4 % 2][i % 4];
    x = (meets >> i & 1u) != 0 ? product(x, args.scale) : -infinity<float>();
    max[i / 2 % 2] = larger(max[i / 2 % 2], x);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    max[i] = quad_max(max[i]);
    if (!rows.real[i]) max[i] = 0.0f; // without keys any reference will do
  }
#pragma unroll
  for (int i = 0; i < 8 * kPackedTiles; ++i) {
    float &x = s[i / 8][i / 4 % 2][i % 4];
    x = exponential_from(x, max[i / 2 % 2]);
    sum[i / 2 % 2] += x;
  }
  if (dropout.on()) drop<kPackedTiles>(s, dropout, bits);
  float out[kDim / 16][2][4];
  clear(out);
  packed_product<T, kDim>(out, TensorTile<T>::place(shared.v, shared.kLd), tiles, [&](int n, uint32_t (&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = pack2<T>(s[n][i / 2][i % 2 * 2], s[n][i / 2][i % 2 * 2 + 1]);
  });
  T *row[2];
  float normalise[2];
  float *lse = static_cast<float *>(p.lse) + row_index(p, block.batch, block.head, 0);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    row[i] = rows.row<T>(p, block, CLEAR_OUT, i, at);
    sum[i] = quad_sum(sum[i]);
    normalise[i] = reciprocal(sum[i]);
    if (at.t == 0 && rows.exists[i]) {
      lse[rows.position[i]] = rows.real[i] ? max[i] + logarithm(sum[i]) : infinity<float>();
    }
  }
#pragma unroll
  for (int piece = 0; piece < kDim / 16; ++piece) {
#pragma unroll
    for (int i = 0; i < 8; ++i) out[piece][i / 4][i % 4] *= normalise[i % 4 / 2];
    write_piece<T>(row, rows.exists, rows.real, 16 * piece, at, out[piece]);
  }
}

} // namespace clear_cuda
