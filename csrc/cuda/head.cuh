// What the head kernels share: a block takes a whole (batch, head) of a short recording some of whose beats are
// visible. All its tokens lie in shared memory, so that every tensor is read once whatever attends what, and local
// rows, visible beats and class rows are served by one launch. For 16-bit rows whose length kDim the compiler knows,
// and the usual leads; the columns and dense kernels serve the other shapes.
#pragma once

#include "beat.cuh"
#include "write.cuh"

#include <type_traits>

namespace clear_cuda {

// Warps of a block, and how many blocks the compiler keeps registers for on a multiprocessor: as many as need no
// spilling. Blocks count for more than warps, as the rows of one come while others work. Warps are dealt to the four
// parts of a multiprocessor, so that a fifth in one of them costs all of them registers.
template <int kDim, bool kBackward> constexpr int kHeadWarps = kBackward ? (kDim == 32 ? 5 : 6) : kDim == 32 ? 4 : 5;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <int kDim, bool kBackward, bool kDropout> constexpr int kHeadBlocks = 1;
#else
template <int kDim, bool kBackward, bool kDropout>
constexpr int kHeadBlocks = kDim != 32   ? (kBackward ? 2 : 3)
                            : !kBackward ? (kDropout ? 5 : 6)
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

// What is known of a beat column. Bit i: the beat of lead i is valid; bit kHidden + i: it is not visible.
using Marks = uint32_t;
constexpr int kHidden = 16;
__device__ __forceinline__ bool marked(Marks marks, int bit) { return (marks >> bit & 1u) != 0; }
// Which beats are visible, bit i that of lead i.
__device__ __forceinline__ uint32_t visible_leads(Marks marks) { return marks & ~(marks >> kHidden) & 0xffffu; }

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

// What comes first in shared memory, at addresses that need no register.
struct HeadFront {
  HeadPlace place;
  int count;                // of the list
  float self[2][kTileRows]; // of the class tokens to themselves
};

// The class tokens are the first rows of a tensor; beats follow column by column. Forward, of q only the class tokens
// stay, and each warp has a tile for the rows that it works on, which leaves room for more blocks.
template <typename T, int kDim, bool kBackward> struct HeadShared {
  using Layout = HeadRows<kDim, kBackward>;
  static constexpr int kLeads = kUsualLeads, kWarps = kHeadWarps<kDim, kBackward>, kThreads = 32 * kWarps;
  static constexpr int kTensors = kBackward ? 4 : 2, kFirst = kBackward ? CLEAR_Q : CLEAR_K; // whose rows are all here
  static constexpr int kTile = Layout::at(kLeads); // elements of a beat column
  static constexpr int kWarpTile = Layout::at(kTileRows);
  int tensor; // elements from one tensor to the next
  T *class_q, *class_k, *class_v, *class_dout;
  T *tiles; // forward: [warps] of 16 rows of q
  HeadPlace *place;
  Listed *list; // [tokens]: backward the class tokens, then the visible beats
  Marks *marks; // [columns]
  int *count;
  // Forward, of the class rows: logits to themselves [16] and to their beats [beats], then their weights; and whether
  // dropout keeps their attention to a beat.
  float *self, *logits;
  uint8_t *kept; // [beats]
  // Forward of the local beats, and minus infinity of the others; backward by position.
  float *lse;
  // Backward: by position. Of the class tokens to themselves [16]; by beat, what the class rows of dq, dk and dv are
  // made of.
  float *delta, *self_weight, *self_slope, *class_slope, *own_slope, *own_weight;

  __host__ __device__ HeadShared(Carver &carver, int columns) : tensor((columns + 1) * kTile) {
    const int beats = columns * kLeads, tokens = kLeads + beats;
    // Backward, where the compiler spills if the front comes first, it comes behind the rows.
    HeadFront *front = kBackward ? nullptr : carver.take<HeadFront>(1);
    const int q_elements = kBackward ? tensor : kTile + kWarps * kWarpTile;
    class_q = carver.take<T>(q_elements + (kBackward ? 3 : 2) * tensor);
    tiles = class_q + kTile;
    class_k = class_q + q_elements;
    class_v = class_k + tensor;
    class_dout = class_v + tensor;
    if (kBackward) front = carver.take<HeadFront>(1);
    place = &front->place;
    count = &front->count;
    self = front->self[0];
    self_weight = self;
    self_slope = front->self[1];
    // Few arrays at distances that need no register of their own.
    logits = carver.take<float>((kBackward ? 3 : 1) * beats);
    class_slope = logits;
    own_slope = logits + beats;
    own_weight = own_slope + beats;
    // Rows beyond the last are read, but not used.
    lse = carver.take<float>(kBackward ? 2 * (tokens + kTileRows) : beats);
    delta = lse + tokens + kTileRows;
    list = carver.take<Listed>(tokens);
    marks = carver.take<Marks>(columns);
    kept = carver.take<uint8_t>(kBackward ? 0 : beats);
  }
  // The first of the tensors whose rows are all here.
  __device__ T *first_rows() const { return kBackward ? class_q : class_k; }
  __device__ T *warp_tile() const { return tiles + threadIdx.x / 32u * kWarpTile; }
};

// Fills `marks` and `place`. All threads together, a barrier to follow. Half a warp to a column.
template <typename T, int kDim, bool kBackward>
__device__ __forceinline__ void mark_columns(const HeadShared<T, kDim, kBackward> &shared, const ClearProblem &p,
                                             const HeadBlock &block) {
  const int columns = static_cast<int>(p.beats), thread = static_cast<int>(threadIdx.x);
  const int lead = static_cast<int>(threadIdx.x % 16u), half = thread & 16;
#pragma unroll 1
  for (int pair = thread / 32; 2 * pair < columns; pair += shared.kWarps) {
    const int column = 2 * pair + half / 16, beat = lead * columns + column;
    const bool there = lead < kUsualLeads && column < columns;
    const bool valid = there && beat_valid(p, block.batch, beat);
    const bool hidden = there && !(valid && mask_at(p.visible, block.batch, beat));
    const uint32_t valids = __ballot_sync(kWholeWarp, valid) >> half & 0xffffu;
    const uint32_t hiddens = __ballot_sync(kWholeWarp, hidden) >> half;
    if (there && lead == 0) shared.marks[column] = valids | hiddens << kHidden;
  }
  if (thread == shared.kThreads - 1) shared.place->template find<T>(p, block);
}

// Lists the visible beats behind the first `begin` entries, in the order of their rows. All threads together, a barrier
// to follow; `marks` is there.
template <typename T, int kDim, bool kBackward>
__device__ __forceinline__ void list_visible(const HeadShared<T, kDim, kBackward> &shared, const ClearProblem &p,
                                             int begin) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread & 31, columns = static_cast<int>(p.beats);
#pragma unroll 1
  for (int base = 0; base < columns; base += 32) { // a column to a lane
    const int here = columns - base < 32 ? columns - base : 32;
    const int mine = lane < here ? __popc(visible_leads(shared.marks[base + lane])) : 0;
    int end = begin + mine; // of the entries of this lane's column
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int before = __shfl_up_sync(kWholeWarp, end - begin, step);
      if (lane >= step) end += before;
    }
#pragma unroll 1
    for (int first = thread & ~31; first < kUsualLeads * here; first += shared.kThreads) { // a row to a lane
      const int row = first + lane, column = static_cast<int>(static_cast<unsigned>(row) / kUsualLeads);
      const int lead = row - column * kUsualLeads, place = __shfl_sync(kWholeWarp, end - mine, column);
      const uint32_t visible = column < here ? visible_leads(shared.marks[base + column]) : 0;
      if (marked(visible, lead)) {
        const int beat = lead * columns + base + column;
        shared.list[place + __popc(visible & ((1u << lead) - 1))] = {
            static_cast<uint16_t>(kUsualLeads + beat), static_cast<uint16_t>(kUsualLeads * (1 + base) + row)};
      }
    }
    begin = __shfl_sync(kWholeWarp, end, 31);
  }
  if (thread == 0) *shared.count = begin;
}

// The masks of a beat column.
__device__ __forceinline__ ColumnMasks<1> column_masks(Marks marks) {
  ColumnMasks<1> masks(0);
  masks.valid = marks & 0xffffu;
  masks.local = masks.valid & marks >> kHidden;
  return masks;
}

// Starts bringing all rows; those of padding become zero, for which `marks` must be there. Neighbouring threads share a
// row, whose place in the tensors is found from its number alone.
template <bool kPadding, typename T, int kDim, bool kBackward>
__device__ __forceinline__ void stage_head(const HeadShared<T, kDim, kBackward> &shared, const ClearProblem &p,
                                           const HeadBlock &block) {
  using Layout = typename HeadShared<T, kDim, kBackward>::Layout;
  constexpr int kLeads = kUsualLeads, kAcross = kDim / 8, kStep = shared.kThreads / kAcross; // kAcross threads to a row
  constexpr int kTensors = shared.kTensors, kFirst = shared.kFirst;
  const int thread = static_cast<int>(threadIdx.x & 1023u), columns = static_cast<int>(p.beats);
  const int eight = thread % kAcross, place = Layout::place(thread / kAcross, eight);
  T *target = shared.first_rows() + place;
  const T *source[kTensors];
#pragma unroll
  for (int i = 0; i < kTensors; ++i) {
    source[i] = token_row<const T>(p.rows[kFirst + i], block.batch, block.head, 0) + 8 * eight;
  }
  static_assert(kStep >= kLeads, "the class tokens are rows of the first step");
  if (!kBackward && thread / kAcross < kLeads) {
    const T *q = token_row<const T>(p.rows[CLEAR_Q], block.batch, block.head, thread / kAcross);
    copy16(shared.class_q + place, q + 8 * eight, true);
  }
#pragma unroll(kBackward ? 1 : 2) // backward, registers are scarce
  for (int row = thread / kAcross; row < kLeads * (1 + columns); row += kStep) {
    const int tile = row / kLeads, lead = row - tile * kLeads, beat = lead * columns + tile - 1;
    const int position = tile == 0 ? lead : kLeads + beat;
    const bool there = !kPadding || tile == 0 || marked(shared.marks[tile - 1], lead);
#pragma unroll
    for (int i = 0; i < kTensors; ++i) {
      copy16(target + i * shared.tensor, row_behind(source[i], p.rows[kFirst + i], position), there);
    }
    target += Layout::at(kStep);
  }
  copy_commit();
}

// Starts bringing everything and fills `marks` and `place`. A wait and a barrier have to follow.
template <typename T, int kDim, bool kBackward>
__device__ __forceinline__ void begin_head(const HeadShared<T, kDim, kBackward> &shared, const ClearProblem &p,
                                           const HeadBlock &block) {
  if (p.valid.data != nullptr) {
    mark_columns(shared, p, block);
    __syncthreads();
    stage_head<true>(shared, p, block);
  } else {
    stage_head<false>(shared, p, block);
    mark_columns(shared, p, block);
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
