// What the head kernels share: a block takes a whole (batch, head) of a short recording some of whose beats are
// visible. All its tokens lie in shared memory, so that every tensor is read once whatever attends what, and local
// rows, visible beats and class rows are served by one launch. For 16-bit rows whose length kDim the compiler knows,
// and the usual leads; the columns and dense kernels serve the other shapes.
#pragma once

#include "beat.cuh"
#include "write.cuh"

#include <type_traits>

namespace clear_cuda {

// Warps of a block, and how many blocks the compiler keeps registers for on a multiprocessor: the fastest of those
// tried on an H200 that need no spilling. Blocks count for more than warps, as the rows of one come while others work.
template <int kDim, bool kBackward> constexpr int kHeadWarps = kDim == 32 ? (kBackward ? 5 : 4) : kBackward ? 6 : 8;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <int kDim, bool kBackward, bool kDropout> constexpr int kHeadBlocks = 1;
#else
template <int kDim, bool kBackward, bool kDropout>
constexpr int kHeadBlocks = kDim != 32   ? 2
                            : !kBackward ? 5
                            : kDropout   ? 3
                                         : 4;
#endif

// Rows of 64 bytes two by two, each two an odd number of 16 bytes after those before.
struct PairedRows : PaddedRows<32> {
  static constexpr __host__ __device__ int at(int row) { return row / 2 * 72 + row % 2 * 32; }
  static constexpr __device__ int place(int row, int eight) { return 36 * row - 4 * (row & 1) + 8 * eight; }
  static constexpr __device__ int moved(int place, int rows) { return place + 36 * rows; }
};

// Rows of 64 bytes without padding: the four pieces of 16 bytes of a row change places with every second row, so that
// ldmatrix meets no bank conflict either.
struct SwizzledRows {
  static constexpr __host__ __device__ int at(int row) { return 32 * row; }
  static constexpr __device__ int place(int row, int eight) { return at(row) + 8 * ((eight ^ row >> 1) & 3); }
  static constexpr __device__ int moved(int place, int rows) { return (place + at(rows)) ^ (rows & 4) << 2; }
  template <typename T> static __device__ __forceinline__ void load(uint32_t (&x)[4], const T *place, int k) {
    load_matrices(x, place, static_cast<uint32_t>(k * sizeof(T)));
  }
  template <typename T>
  static __device__ __forceinline__ void load_transposed(uint32_t (&x)[4], const T *place, int k) {
    load_matrices_transposed(x, place, static_cast<uint32_t>(k * sizeof(T)));
  }
};

// The backward pass, with four tensors, has less room.
template <int kDim, bool kBackward>
using HeadRows =
    std::conditional_t<kDim != 32, PaddedRows<kDim>, std::conditional_t<kBackward, SwizzledRows, PairedRows>>;

// A visible beat, or a class token where it is treated alike.
struct Listed {
  uint16_t position, row; // row: of the shared tensors
  __device__ int lead() const { return row % kUsualLeads; }
};

// Bits of a beat's state.
constexpr uint8_t kValidBeat = 1, kVisibleBeat = 2;

// The (batch, head) of a block; neighbouring heads of a token are neighbours in memory.
struct HeadBlock {
  int64_t batch, head;
  __device__ explicit HeadBlock(const ClearProblem &p) {
    const unsigned heads = static_cast<unsigned>(p.heads);
    batch = blockIdx.x / heads;
    head = blockIdx.x % heads;
  }
};

// A row, `position` rows behind another.
template <typename T> __device__ __forceinline__ T *row_behind(T *first, const ClearRows &rows, int position) {
  return further(first, position, static_cast<int>(rows.row) * static_cast<int>(sizeof(T)));
}

// Where a head lies. It stays in shared memory, as registers are scarce.
struct HeadPlace {
  int64_t batch, head;
  float *lse;                 // of token 0
  void *first[CLEAR_TENSORS]; // row of token 0

  template <typename T> __device__ void find(const ClearProblem &p, const HeadBlock &block) {
    batch = block.batch;
    head = block.head;
    lse = static_cast<float *>(p.lse) + row_index(p, batch, head, 0);
#pragma unroll 1
    for (int i = 0; i < CLEAR_TENSORS; ++i) first[i] = token_row<T>(p.rows[i], batch, head, 0);
  }
  template <typename T> __device__ __forceinline__ T *row(const ClearProblem &p, int tensor, int position) const {
    return row_behind(static_cast<T *>(first[tensor]), p.rows[tensor], position);
  }
  template <bool kDropout> __device__ BeatDropout<!kDropout> dropout(const ClearProblem &p) const {
    return {{p, batch, head}};
  }
};

// kTensors: how many of q, k, v and dout. The class tokens are the first rows; beats follow column by column.
template <typename T, int kDim, int kTensors> struct HeadShared {
  using Layout = HeadRows<kDim, kTensors == 4>;
  static constexpr int kLeads = kUsualLeads, kWarps = kHeadWarps<kDim, kTensors == 4>, kThreads = 32 * kWarps;
  static constexpr int kTile = Layout::at(kLeads); // elements of a beat column
  int tensor;                                      // elements from one tensor to the next
  T *class_q, *class_k, *class_v, *class_dout;
  HeadPlace *place;
  Listed *list;      // [tokens]: backward the class tokens, then the visible beats
  uint8_t *state;    // [beats]
  uint32_t *visible; // [beats / 32]: which of 32 rows
  int *count;        // of the list
  // Forward, of the class rows: logits to themselves [16] and to their beats [beats], then their weights; and whether
  // dropout keeps their attention to a beat.
  float *self, *logits;
  uint8_t *kept; // [beats]
  // By position; forward, of the local beats alone.
  float *lse;
  // Backward: by position. Of the class tokens to themselves [16]; by beat, what the class rows of dq, dk and dv are
  // made of.
  float *delta, *self_weight, *self_slope, *class_slope, *own_slope, *own_weight;

  __host__ __device__ HeadShared(Carver &carver, int columns) : tensor((columns + 1) * kTile) {
    const int beats = columns * kLeads, tokens = kLeads + beats;
    class_q = carver.take<T>(kTensors * tensor);
    class_k = class_q + tensor;
    class_v = class_k + tensor;
    class_dout = class_v + tensor;
    place = carver.take<HeadPlace>(1);
    count = carver.take<int>(1);
    // Few arrays at distances that need no register of their own.
    constexpr bool backward = kTensors == 4;
    self = carver.take<float>((backward ? 2 : 1) * kTileRows);
    self_weight = self;
    self_slope = self + kTileRows;
    logits = carver.take<float>((backward ? 3 : 1) * beats);
    class_slope = logits;
    own_slope = logits + beats;
    own_weight = own_slope + beats;
    // Rows beyond the last are read, but not used.
    lse = carver.take<float>(backward ? 2 * (tokens + kTileRows) : tokens);
    delta = lse + tokens + kTileRows;
    list = carver.take<Listed>(tokens);
    visible = carver.take<uint32_t>((beats + 31) / 32);
    state = carver.take<uint8_t>((backward ? 1 : 2) * beats);
    kept = state + beats;
  }
};

// The beat of a thread's row, one of the 32 rows behind the class tokens that a warp looks at together from `base` on.
struct RowBeat {
  int row, lead, beat; // row: of the beats alone
  bool there;
  __device__ RowBeat(int base, int columns) : row(base + static_cast<int>(threadIdx.x % 32u)) {
    const int column = static_cast<int>(static_cast<unsigned>(row) / kUsualLeads);
    lead = row - column * kUsualLeads;
    beat = lead * columns + column;
    there = column < columns;
  }
};

// Fills `state`, `place` and `visible`. All threads together, a barrier to follow.
template <typename T, int kDim, int kTensors>
__device__ __forceinline__ void note_states(const HeadShared<T, kDim, kTensors> &shared, const ClearProblem &p,
                                            const HeadBlock &block) {
  const int columns = static_cast<int>(p.beats), thread = static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (int base = thread & ~31; base < kUsualLeads * columns; base += shared.kThreads) {
    const RowBeat at(base, columns);
    const bool valid = at.there && beat_valid(p, block.batch, at.beat);
    const bool visible = valid && mask_at(p.visible, block.batch, at.beat);
    if (at.there) shared.state[at.beat] = valid ? (visible ? kValidBeat | kVisibleBeat : kValidBeat) : 0;
    const uint32_t ballot = __ballot_sync(kWholeWarp, visible);
    if (thread % 32 == 0) shared.visible[base / 32] = ballot;
  }
  if (thread == shared.kThreads - 1) shared.place->template find<T>(p, block);
}

// Lists the visible beats behind the first `begin` entries, in the order of their rows. All threads together, a barrier
// to follow; `visible` is there.
template <typename T, int kDim, int kTensors>
__device__ __forceinline__ void list_visible(const HeadShared<T, kDim, kTensors> &shared, const ClearProblem &p,
                                             int begin) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread & 31, columns = static_cast<int>(p.beats);
  int count = begin, counted = 0;
#pragma unroll 1
  for (int base = thread & ~31; base < kUsualLeads * columns; base += shared.kThreads) {
#pragma unroll 1
    for (; counted < base; counted += 32) count += __popc(shared.visible[counted / 32]);
    const uint32_t visible = shared.visible[base / 32];
    if ((visible >> lane & 1u) != 0) {
      const RowBeat at(base, columns);
      shared.list[count + __popc(visible & ((1u << lane) - 1))] = {static_cast<uint16_t>(kUsualLeads + at.beat),
                                                                   static_cast<uint16_t>(kUsualLeads + at.row)};
    }
  }
  if (thread != 0) return;
#pragma unroll 1
  for (; counted < kUsualLeads * columns; counted += 32) count += __popc(shared.visible[counted / 32]);
  *shared.count = count;
}

// The masks of a beat column.
template <int kLeads>
__device__ __forceinline__ ColumnMasks<1> state_masks(const uint8_t *state, int column, int columns) {
  const int lead = static_cast<int>(threadIdx.x % 32u);
  const int bits = lead < kLeads ? state[lead * columns + column] & (kValidBeat | kVisibleBeat) : 0;
  ColumnMasks<1> masks(0);
  masks.valid = __ballot_sync(kWholeWarp, bits != 0);
  masks.local = masks.valid & ~__ballot_sync(kWholeWarp, (bits & kVisibleBeat) != 0);
  return masks;
}

// Starts bringing all rows; those of padding become zero, for which `state` must be there. Neighbouring threads share a
// row, whose place in the tensors is found from its number alone.
template <bool kPadding, typename T, int kDim, int kTensors>
__device__ __forceinline__ void stage_head(const HeadShared<T, kDim, kTensors> &shared, const ClearProblem &p,
                                           const HeadBlock &block) {
  using Layout = typename HeadShared<T, kDim, kTensors>::Layout;
  constexpr int kLeads = kUsualLeads, kAcross = kDim / 8, kStep = shared.kThreads / kAcross; // kAcross threads to a row
  const int thread = static_cast<int>(threadIdx.x & 1023u), columns = static_cast<int>(p.beats);
  const int eight = thread % kAcross;
  T *target = shared.class_q + Layout::place(thread / kAcross, eight);
  const T *source[kTensors];
#pragma unroll
  for (int i = 0; i < kTensors; ++i) source[i] = token_row<const T>(p.rows[i], block.batch, block.head, 0) + 8 * eight;
#pragma unroll(kTensors == 3 ? 2 : 1) // backward, registers are scarce
  for (int row = thread / kAcross; row < kLeads * (1 + columns); row += kStep) {
    const int tile = row / kLeads, lead = row - tile * kLeads, beat = lead * columns + tile - 1;
    const int position = tile == 0 ? lead : kLeads + beat;
    const bool there = !kPadding || tile == 0 || shared.state[beat] != 0;
#pragma unroll
    for (int i = 0; i < kTensors; ++i) {
      copy16(target + i * shared.tensor, row_behind(source[i], p.rows[i], position), there);
    }
    target += Layout::at(kStep);
  }
  copy_commit();
}

// Starts bringing everything and fills `state`, `visible` and `place`. A wait and a barrier have to follow.
template <typename T, int kDim, int kTensors>
__device__ __forceinline__ void begin_head(const HeadShared<T, kDim, kTensors> &shared, const ClearProblem &p,
                                           const HeadBlock &block) {
  if (p.valid.data != nullptr) {
    note_states(shared, p, block);
    __syncthreads();
    stage_head<true>(shared, p, block);
  } else {
    stage_head<false>(shared, p, block);
    note_states(shared, p, block);
  }
}

// One warp: 16 kPieces columns of class rows that are sums over their lead's tokens, the token's own row of a tensor
// times self[lead] and those of its beats times factors[lead, column]. `rows`: the tensor's; from column `d` on.
template <typename Layout, int kPieces, typename T>
__device__ __forceinline__ void sum_by_lead(float (&sum)[kPieces][2][4], const T *rows, int d, const float *self,
                                            const float *factors, int columns, const LanePlace &at) {
  clear(sum);
  int lead[2]; // rows beyond the last are the last's
#pragma unroll
  for (int i = 0; i < 2; ++i) lead[i] = at.g + 8 * i < kUsualLeads ? at.g + 8 * i : kUsualLeads - 1;
#pragma unroll 3
  for (int column = -1; column < columns; ++column) {
    float factor[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) factor[i] = column < 0 ? self[lead[i]] : factors[lead[i] * columns + column];
    const Diagonal<T> made_of(at, factor);
    const T *left = left_place<Layout>(rows, kUsualLeads, kUsualLeads * (1 + column));
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      uint32_t right[4];
      Layout::load_transposed(right, left, d + 16 * piece);
      made_of.multiply(sum[piece], right);
    }
  }
}

// Listed tokens that are the rows of a tile, from `first` on; the last of them stands for those beyond.
struct ListedRows {
  const Listed *list;
  int first, last;
  __device__ ListedRows(const Listed *list_, int first_, int end)
      : list(list_), first(first_), last((first_ + kTileRows < end ? first_ + kTileRows : end) - 1) {}
  __device__ const Listed &row(int r) const { return list[first + r < last ? first + r : last]; }
  __device__ bool has(int r) const { return first + r <= last; }
};

// A lane's place in the rows of the tile in shared memory, or of their class tokens: of a left operand, or, transposed,
// of a right one.
template <typename Layout, bool kClass = false> __device__ __forceinline__ int left_offset(const ListedRows &rows) {
  const int lane = static_cast<int>(threadIdx.x % 32u);
  const Listed &token = rows.row(lane % 16);
  return Layout::place(kClass ? token.lead() : token.row, lane / 16);
}
// Of a right operand whose columns are the tile's rows.
template <typename Layout, bool kClass = false> __device__ __forceinline__ int right_offset(const ListedRows &rows) {
  const int lane = static_cast<int>(threadIdx.x % 32u);
  const Listed &token = rows.row(lane % 8 + lane / 16 * 8);
  return Layout::place(kClass ? token.lead() : token.row, lane / 8 % 2);
}

} // namespace clear_cuda
