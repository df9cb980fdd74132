// What the packed kernels share: a block takes a whole (batch, head) of up to 64 packed tokens, which lie in shared
// memory; a warp takes 16 of them. Class tokens are rows and keys like the others, and every row meets all its keys at
// once. For 16-bit rows whose length kDim the compiler knows and up to 15 leads; the dense kernels serve other shapes.
#pragma once

#include "columns.cuh"
#include "write.cuh"

namespace clear_cuda {

constexpr int kPackedTiles = 4; // of 16 tokens
constexpr int kPackedTokens = kPackedTiles * kTileRows;
constexpr int kPackedLeads = 15;
// Blocks of a multiprocessor that the compiler keeps registers for.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kPackedBlocks = 1;
#else
constexpr int kPackedBlocks = 4;
#endif

// Whom a token asks for as a query and whom it answers as a key: they meet if they have a bit in common. Bit 31 stands
// for beats among each other, bit i for queries of lead i to their class token, bit 16 + i for class token i to its
// beats. Padding has none.
struct Meeting {
  uint32_t asks, answers;
};
__device__ inline Meeting meeting_of(const ClearProblem &p, int64_t batch, int position) {
  constexpr uint32_t kBeats = 1u << 31;
  if (position < p.leads) return {0x10001u << position, 1u << position};
  const int beat = position - p.leads;
  if (beat >= p.beats || !beat_valid(p, batch, beat)) return {0, 0};
  const int lead = beat_lead(p, batch, beat);
  return lead == kNoLead ? Meeting{kBeats, kBeats} : Meeting{kBeats | 1u << lead, kBeats | 0x10000u << lead};
}

// kTensors: how many of q, k, v and dout.
template <typename T, int kDim, int kTensors> struct PackedShared {
  static constexpr int kLd = kDim + 8; // an odd number of 16 bytes, so that ldmatrix meets no bank conflict
  static constexpr int kWeightLd = kPackedTokens + 8;
  int tensor; // elements from one tensor to the next
  T *q, *k, *v, *dout;
  uint32_t *answers; // [64]
  // Backward, in the place of k and v: weights after dropout and slopes [64, kWeightLd], by query.
  T *weights, *slopes;

  __host__ __device__ PackedShared(Carver &carver, int tiles) : tensor(tiles * kTileRows * kLd) {
    q = carver.take<T>(kTensors * tensor);
    k = q + tensor;
    v = k + tensor;
    dout = v + tensor;
    weights = v;
    slopes = k;
    answers = carver.take<uint32_t>(kPackedTokens);
  }
  static_assert(kWeightLd <= kLd, "weights take the place of rows");
};

// Starts bringing all tokens, and fills `answers`; rows of padding become zero. Four threads to a row.
template <typename T, int kDim, int kTensors>
__device__ __forceinline__ void stage_packed(const PackedShared<T, kDim, kTensors> &shared, const ClearProblem &p,
                                             const ColumnsBlock &block) {
  const int quarter = block.thread % 4, tokens = static_cast<int>(token_count(p));
  const int rows = block.threads / 32 * kTileRows;
  const T *first[kTensors];
#pragma unroll
  for (int tensor = 0; tensor < kTensors; ++tensor) {
    first[tensor] = token_row<const T>(p.rows[tensor], block.batch, block.head, 0) + 8 * quarter;
  }
#pragma unroll 1
  for (int position = block.thread / 4; position < rows; position += block.threads / 4) {
    const bool there = position < p.leads || (position < tokens && beat_valid(p, block.batch, position - p.leads));
    T *target = shared.q + position * shared.kLd + 8 * quarter;
#pragma unroll
    for (int tensor = 0; tensor < kTensors; ++tensor) {
      const T *row = first[tensor] + (there ? position * p.rows[tensor].row : 0);
#pragma unroll
      for (int d = 0; d < kDim; d += 32) copy16(target + tensor * shared.tensor + d, row + d, there);
    }
  }
  copy_commit();
  for (int position = block.thread; position < rows; position += block.threads) {
    shared.answers[position] = meeting_of(p, block.batch, position).answers;
  }
}

// Rows g and g + 8 of a warp's tile.
struct PackedRows {
  int position[2];
  uint32_t asks[2];
  bool exists[2], real[2]; // real: no padding

  __device__ PackedRows(const ClearProblem &p, const ColumnsBlock &block, const LanePlace &at) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      position[i] = block.warp * kTileRows + at.g + 8 * i;
      exists[i] = position[i] < token_count(p);
      asks[i] = meeting_of(p, block.batch, position[i]).asks;
      real[i] = asks[i] != 0;
    }
  }
  template <typename T>
  __device__ T *row(const ClearProblem &p, const ColumnsBlock &block, int tensor, int i, const LanePlace &at) const {
    return token_row<T>(p.rows[tensor], block.batch, block.head, exists[i] ? position[i] : 0) + written_column(at);
  }
};

// Which of the entries that a lane holds of its rows meet: bit 8 n + 4 h + e for s[n][h][e].
__device__ __forceinline__ uint32_t packed_meetings(const PackedRows &rows, const uint32_t *answers, int tiles,
                                                    const LanePlace &at) {
  uint32_t meets = 0;
#pragma unroll
  for (int n = 0; n < kPackedTiles; ++n) {
    if (n >= tiles) break;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const uint2 pair = *reinterpret_cast<const uint2 *>(answers + n * kTileRows + 8 * h + 2 * at.t);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        meets |= (rows.asks[e / 2] & (e % 2 == 0 ? pair.x : pair.y)) != 0 ? 1u << (8 * n + 4 * h + e) : 0u;
      }
    }
  }
  return meets;
}

// Dropout of the same entries.
__device__ __forceinline__ uint32_t packed_bits(const Dropout<float> &dropout, const PackedRows &rows,
                                                const LanePlace &at) {
  return dropout.bits<8 * kPackedTiles>([&](int i) {
    const int key = i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4);
    return Entry{i / 2 % 2 == 0 ? rows.position[0] : rows.position[1], key};
  });
}

// s[n] += a b_n^T of this lane's place of 16 rows and the lane's place of the first of the tiles.
template <typename T, int kDim>
__device__ __forceinline__ void packed_scores(float (&s)[kPackedTiles][2][4], const T *a, const T *b, int tiles) {
  constexpr int kLd = kDim + 8;
  clear(s);
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    uint32_t left[4];
    load_matrices(left, a + k);
#pragma unroll
    for (int n = 0; n < kPackedTiles; ++n) {
      if (n >= tiles) break;
      uint32_t right[4];
      load_matrices(right, b + n * kTileRows * kLd + k);
#pragma unroll
      for (int h = 0; h < 2; ++h) multiply_add<T>(s[n][h], left, right[2 * h], right[2 * h + 1]);
    }
  }
}

// out += left b for tiles of b from this lane's place of the first; left(n) loads or gives the nth left operand.
template <typename T, int kDim, typename Left>
__device__ __forceinline__ void packed_product(float (&out)[kDim / 16][2][4], const T *b, int tiles, Left left) {
  constexpr int kLd = kDim + 8;
#pragma unroll
  for (int n = 0; n < kPackedTiles; ++n) {
    if (n >= tiles) break;
    uint32_t x[4];
    left(n, x);
#pragma unroll
    for (int piece = 0; piece < kDim / 16; ++piece) {
      uint32_t right[4];
      load_matrices_transposed(right, b + n * kTileRows * kLd + 16 * piece);
#pragma unroll
      for (int h = 0; h < 2; ++h) multiply_add<T>(out[piece][h], x, right[2 * h], right[2 * h + 1]);
    }
  }
}

// A lane's place in a tile of `ld` elements to a row: of a right operand whose columns are the rows, or, transposed, of
// a left one. TensorTile::place() is that of the others.
template <typename T> __device__ __forceinline__ T *right_lane(T *tile, int ld) {
  const int lane = static_cast<int>(threadIdx.x % 32u);
  return tile + (lane % 8 + lane / 16 * 8) * ld + lane / 8 % 2 * 8;
}

} // namespace clear_cuda
