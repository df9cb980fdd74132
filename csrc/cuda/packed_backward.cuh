// Backward of few packed tokens, see packed.cuh: a warp computes the weights and slopes of its 16 queries, and dq;
// then, from those of all queries, dk and dv of its 16 keys.
#pragma once

#include "packed.cuh"

namespace clear_cuda {

template <typename T, int kDim>
__global__ void __launch_bounds__(32 * kPackedTiles, kPackedBlocks)
    packed_backward(const __grid_constant__ ColumnsArguments args) {
  const ClearProblem &p = args.problem;
  const int tiles = args.plan.warps;
  const ColumnsBlock block(p, args.plan);
  const LanePlace at;
  Carver carver{dynamic_shared()};
  const PackedShared<T, kDim, 4> shared(carver, tiles);
  stage_packed(shared, p, block);
  const PackedRows rows(p, block, at);
  const Dropout<float> dropout = {p, block.batch, block.head};
  const uint32_t bits = dropout.on() ? packed_bits(dropout, rows, at) : ~0u;
  float lse[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t index = row_index(p, block.batch, block.head, rows.exists[i] ? rows.position[i] : 0);
    lse[i] = static_cast<const float *>(p.lse)[index];
  }
  copy_wait<0>();
  __syncthreads();

  // Weights and slopes of this warp's queries. All keys of a row are here, so that rowsum(dout * out) is the sum of its
  // weights times their gradients.
  const int first = block.warp * kTileRows * shared.kLd;
  uint32_t weights[kPackedTiles][4], slopes[kPackedTiles][4];
  {
    const uint32_t meets = packed_meetings(rows, shared.answers, tiles, at);
    float s[kPackedTiles][2][4], dp[kPackedTiles][2][4], delta[2] = {0.0f, 0.0f};
    packed_scores<T, kDim>(s, TensorTile<T>::place(shared.q + first, shared.kLd), right_lane(shared.k, shared.kLd),
                           tiles);
    packed_scores<T, kDim>(dp, TensorTile<T>::place(shared.dout + first, shared.kLd), right_lane(shared.v, shared.kLd),
                           tiles);
    if (dropout.on()) drop<kPackedTiles>(dp, dropout, bits);
#pragma unroll
    for (int i = 0; i < 8 * kPackedTiles; ++i) {
      const int n = i / 8, h = i / 4 % 2, e = i % 4;
      const bool meet = (meets >> i & 1u) != 0;
      s[n][h][e] = meet ? exponential_from(product(s[n][h][e], args.scale), lse[e / 2]) : 0.0f;
      dp[n][h][e] = meet ? dp[n][h][e] : 0.0f;
      delta[e / 2] = fmaf(s[n][h][e], dp[n][h][e], delta[e / 2]);
    }
    delta[0] = quad_sum(delta[0]);
    delta[1] = quad_sum(delta[1]);
#pragma unroll
    for (int i = 0; i < 8 * kPackedTiles; ++i) {
      float &slope = dp[i / 8][i / 4 % 2][i % 4];
      slope = s[i / 8][i / 4 % 2][i % 4] * (slope - delta[i / 2 % 2]) * args.scale;
    }
    if (dropout.on()) drop<kPackedTiles>(s, dropout, bits);
#pragma unroll
    for (int n = 0; n < kPackedTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weights[n][i] = pack2<T>(s[n][i / 2][i % 2 * 2], s[n][i / 2][i % 2 * 2 + 1]);
        slopes[n][i] = pack2<T>(dp[n][i / 2][i % 2 * 2], dp[n][i / 2][i % 2 * 2 + 1]);
      }
    }
  }
  float gradient[kDim / 16][2][4];
  const auto write = [&](int tensor) {
    T *const row[2] = {rows.row<T>(p, block, tensor, 0, at), rows.row<T>(p, block, tensor, 1, at)};
#pragma unroll
    for (int piece = 0; piece < kDim / 16; ++piece) {
      write_piece<T>(row, rows.exists, rows.real, 16 * piece, at, gradient[piece]);
    }
  };
  clear(gradient);
  packed_product<T, kDim>(gradient, TensorTile<T>::place(shared.k, shared.kLd), tiles, [&](int n, uint32_t (&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = slopes[n][i];
  });
  __syncthreads(); // nobody needs k and v any more
  write(CLEAR_DQ);

  constexpr int kWeightLd = PackedShared<T, kDim, 4>::kWeightLd;
#pragma unroll
  for (int n = 0; n < kPackedTiles; ++n) {
    if (n >= tiles) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = block.warp * kTileRows + at.g + 8 * (i % 2), column = n * kTileRows + 8 * (i / 2) + 2 * at.t;
      *reinterpret_cast<uint32_t *>(shared.weights + row * kWeightLd + column) = weights[n][i];
      *reinterpret_cast<uint32_t *>(shared.slopes + row * kWeightLd + column) = slopes[n][i];
    }
  }
  __syncthreads();
  // This warp's tokens as keys.
  const int keys = block.warp * kTileRows, step = kTileRows * kWeightLd;
  const T *of_weights = right_lane(shared.weights, kWeightLd) + keys;
  const T *of_slopes = right_lane(shared.slopes, kWeightLd) + keys;
  clear(gradient);
  packed_product<T, kDim>(gradient, TensorTile<T>::place(shared.dout, shared.kLd), tiles,
                          [&](int n, uint32_t (&x)[4]) { load_matrices_transposed(x, of_weights + n * step); });
  write(CLEAR_DV);
  clear(gradient);
  packed_product<T, kDim>(gradient, TensorTile<T>::place(shared.q, shared.kLd), tiles,
                          [&](int n, uint32_t (&x)[4]) { load_matrices_transposed(x, of_slopes + n * step); });
  write(CLEAR_DK);
}

} // namespace clear_cuda
