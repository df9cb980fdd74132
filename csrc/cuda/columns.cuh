// The local part: a warp per heartbeat. The L tokens of beat column j are kTiles tiles of 16 rows in shared memory; a
// block walks a chunk of columns, as many at a time as it has warps, and keeps the class tokens of its head beside
// them, so that class rows meet every beat while it is in shared memory.
#pragma once

#include "carve.cuh"
#include "philox.cuh"
#include "scalar_tile.cuh"
#include "stage.cuh"
#include "tensor_tile.cuh"
#include "tokens.cuh"

namespace clear_cuda {

// Warps of the largest blocks of the columns and of the beat kernels.
constexpr int kColumnWarps = 8, kBeatWarps = 4;
constexpr int kColumnThreads = 32 * kColumnWarps;

// Largest blocks of a multiprocessor that the compiler keeps registers for, so many that it need not spill. Turing has
// shared memory for half a block only, and spends many registers on bfloat16; at D 128 shared memory is the limit.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <int kTiles, int kDim> constexpr int kColumnBlocks = 1;
#else
template <int kTiles, int kDim> constexpr int kColumnBlocks = kTiles == 1 && kDim != 128 ? 2 : 1;
#endif

struct ColumnsPlan {
  int warps;                 // per block
  int64_t columns_per_chunk; // a multiple of `warps`, unless there is one chunk
  int64_t chunks;            // blocks per (batch, head)
  bool aligned;
};

// Class rows of one chunk, to be merged; unused with a single chunk.
struct ClassPartials {
  float *max, *sum; // [B * H, chunks, L] forward
  float *rows;      // [B * H, chunks, 1 or 3, L, D]: weighted values, or dq, dk, dv
};

struct ColumnsArguments {
  ClearProblem problem;
  ColumnsPlan plan;
  ClassPartials partials;
  // CLEAR_MIXED backward: what the global queries give to dk and dv of global keys, [B * H, L * T, D] each.
  const float *global_dk, *global_dv;
  const float *delta; // [B, H, N]: rowsum(dout * out) of the global queries
  // Elements from one lead to the next, and from a warp's column to its next one, by tensor.
  int64_t lead_step[CLEAR_TENSORS], column_step[CLEAR_TENSORS];
  float scale;

  ColumnsArguments(const ClearProblem &problem_, const ColumnsPlan &plan_, const ClassPartials &partials_,
                   const float *global_dk_, const float *global_dv_, const float *delta_)
      : problem(problem_), plan(plan_), partials(partials_), global_dk(global_dk_), global_dv(global_dv_),
        delta(delta_), scale(static_cast<float>(problem_.scale)) {
    for (int i = 0; i < CLEAR_TENSORS; ++i) {
      lead_step[i] = problem.beats * problem.rows[i].row;
      column_step[i] = plan.warps * problem.rows[i].row;
    }
  }
};

// The shape of the tiles: of head dimension kDim and aligned, which the kernel is compiled for, or, if that is 0, of
// any.
template <typename Tile, int kDim>
__device__ __forceinline__ TileShape known_shape(const ClearProblem &p, const ColumnsPlan &plan) {
  return kDim != 0 ? tile_shape<Tile>(kDim, true) : tile_shape<Tile>(p.dim, plan.aligned);
}

// What the masks say of the beats whose leads are this lane and this lane + 32.
template <int kTiles> struct LaneMarks {
  static constexpr int kHalves = (kTiles + 1) / 2;
  bool valid[kHalves], local[kHalves]; // local: valid and not global

  __device__ LaneMarks(const ClearProblem &p, int64_t batch, int64_t column) {
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const int lead = static_cast<int>(threadIdx.x % 32u) + 32 * half;
      const int64_t beat = lead * p.beats + column;
      valid[half] = lead < p.leads && column < p.beats && beat_valid(p, batch, beat);
      local[half] = valid[half] && !beat_visible(p, batch, beat);
    }
  }
};

template <bool kWide> struct LeadBitsOf {
  using Type = uint32_t;
};
template <> struct LeadBitsOf<true> {
  using Type = uint64_t;
};
// One bit per lead.
template <int kTiles> using LeadBits = typename LeadBitsOf<(kTiles > 2)>::Type;

// The state of the tokens of a beat column.
template <int kTiles> struct ColumnMasks {
  using Bits = LeadBits<kTiles>;
  Bits valid = 0, local = 0;

  // All beats valid and local.
  __device__ explicit ColumnMasks(int leads) : valid(all(leads)), local(valid) {}
  __device__ explicit ColumnMasks(const LaneMarks<kTiles> &marks) {
#pragma unroll
    for (int half = 0; half < marks.kHalves; ++half) {
      valid |= static_cast<Bits>(__ballot_sync(kWholeWarp, marks.valid[half])) << (32 * half);
      local |= static_cast<Bits>(__ballot_sync(kWholeWarp, marks.local[half])) << (32 * half);
    }
  }
  // Whether the key of fragment element s[n][h][e] is valid; n, h and e are constants after unrolling.
  __device__ bool has_key(const LanePlace &at, int n, int h, int e) const {
    const uint32_t half = static_cast<uint32_t>(valid >> (32 * (n / 2))) >> (2 * at.t);
    return (half >> (n % 2 * kTileRows + 8 * h + e % 2) & 1u) != 0;
  }
  __device__ bool is_valid(int lead) const { return (valid >> lead & 1) != 0; }
  __device__ bool is_local(int lead) const { return (local >> lead & 1) != 0; }
  __device__ bool is_global(int lead) const { return is_valid(lead) && !is_local(lead); }
  __device__ Bits globals() const { return valid & ~local; }
  // Of all leads.
  __device__ static Bits all(int leads) {
    return leads == 8 * static_cast<int>(sizeof(Bits)) ? ~Bits{0} : (Bits{1} << leads) - 1;
  }
};

// What every columns kernel knows of its block.
struct ColumnsBlock {
  int64_t batch, head, chunk, begin, end; // columns [begin, end)
  int thread, threads, warp, lane;

  __device__ ColumnsBlock(const ClearProblem &p, const ColumnsPlan &plan)
      : thread(static_cast<int>(threadIdx.x)), threads(32 * plan.warps), warp(static_cast<int>(threadIdx.x / 32u)),
        lane(static_cast<int>(threadIdx.x % 32u)) {
    const BlockPlace place(p, blockIdx.x, plan.chunks);
    batch = place.batch;
    head = place.head;
    chunk = place.piece;
    begin = chunk * plan.columns_per_chunk;
    end = begin + plan.columns_per_chunk < p.beats ? begin + plan.columns_per_chunk : p.beats;
  }
  __device__ int64_t chunk_index(const ClearProblem &p, const ColumnsPlan &plan) const {
    return (batch * p.heads + head) * plan.chunks + chunk;
  }
};

__device__ __forceinline__ int64_t beat_position(const ClearProblem &p, int lead, int64_t column) {
  return p.leads + lead * p.beats + column;
}

// Dropout of the entries that a lane holds of a row of tiles, whose rows are those of `lead` and `lead` + 8.
template <int kTiles>
__device__ __forceinline__ uint32_t column_bits(const Dropout<float> &dropout, const ClearProblem &p, int lead,
                                                int64_t column) {
  const LanePlace at;
  return dropout.bits<8 * kTiles>([&](int i) {
    const int key = i / 8 * kTileRows + fragment_column(at, i / 4 % 2, i % 4);
    return Entry{beat_position(p, lead + 8 * (i / 2 % 2), column), beat_position(p, key, column)};
  });
}

// Factors of what the beats of these two rows give to their class tokens, and of what those give to them.
__device__ __forceinline__ void class_factors(float (&own)[2], float (&foreign)[2], const Dropout<float> &dropout,
                                              const ClearProblem &p, int lead, int64_t column) {
  own[0] = own[1] = foreign[0] = foreign[1] = 1.0f;
  if (!dropout.on()) return;
  const uint32_t kept = dropout.bits<4>([&](int i) {
    const int64_t of_class = lead + 8 * (i % 2), of_beat = beat_position(p, lead + 8 * (i % 2), column);
    return i < 2 ? Entry{of_beat, of_class} : Entry{of_class, of_beat};
  });
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    own[i] = dropout.factor(kept, i);
    foreign[i] = dropout.factor(kept, i + 2);
  }
}

// Brings the class tokens' rows of the first `tensors` tensors to adjacent tiles, all threads together.
template <typename T>
__device__ __forceinline__ void stage_class_rows(T *tiles, const TileShape &shape, const ClearProblem &p, int tensors,
                                                 const ColumnsBlock &block) {
#pragma unroll 1
  for (int tensor = 0; tensor < tensors; ++tensor) {
    stage_rows(tiles + tensor * p.leads * shape.ld, shape, p.leads, block.thread, block.threads,
               [&](int lead) { return token_row<const T>(p.rows[tensor], block.batch, block.head, lead); });
  }
}

// Where the first beat of every tensor's head lies, worked out once by a thread per tensor and kept in shared memory.
struct HeadBases {
  unsigned char **first; // [CLEAR_TENSORS]

  template <typename T> __device__ void find(const ClearProblem &p, const ColumnsBlock &block) const {
    if (block.thread >= CLEAR_TENSORS) return;
    T *row = token_row<T>(p.rows[block.thread], block.batch, block.head, p.leads);
    first[block.thread] = reinterpret_cast<unsigned char *>(row);
  }
  // The row of the beat of `lead` in a column.
  template <typename T>
  __device__ __forceinline__ T *row(const ColumnsArguments &args, int tensor, int lead, int64_t column) const {
    return reinterpret_cast<T *>(first[tensor]) + lead * args.lead_step[tensor] +
           column * args.problem.rows[tensor].row;
  }
};

// The rows of a beat column as their lanes share them: four lanes to a row, eight rows at a time.
template <int kTiles, typename T, typename Visit>
__device__ __forceinline__ void visit_column(const ColumnsArguments &args, const HeadBases &bases, int tensor,
                                             int64_t column, LeadBits<kTiles> marks, Visit visit) {
  const int first = static_cast<int>(threadIdx.x % 32u) / 4, leads = args.problem.leads;
  const int64_t step = 8 * args.lead_step[tensor];
  T *row = bases.row<T>(args, tensor, first, column);
#pragma unroll kTiles == 1 ? 2 : 1
  for (int i = 0; i < 2 * kTiles; ++i) {
    const int lead = first + 8 * i;
    if (lead >= leads) break;
    visit(lead, row, (marks >> lead & 1) != 0);
    row += step;
  }
}

// Starts bringing a beat column of tensor number `tensor` to a tile, one warp alone: the rows that `wanted` marks; the
// others become zero.
template <int kTiles, typename T>
__device__ __forceinline__ void stage_column(T *tile, const TileShape &shape, const ColumnsArguments &args,
                                             const HeadBases &bases, int tensor, int64_t column,
                                             LeadBits<kTiles> wanted) {
  const int quarter = static_cast<int>(threadIdx.x % 4u);
  visit_column<kTiles, T>(args, bases, tensor, column, wanted, [&](int lead, const T *row, bool there) {
    stage_row(tile + lead * shape.ld, shape, quarter, row, there);
  });
}

// Writes the rows of a beat column that `wanted` marks.
template <int kTiles, typename T>
__device__ __forceinline__ void store_column(const T *tile, const TileShape &shape, const ColumnsArguments &args,
                                             const HeadBases &bases, int tensor, int64_t column,
                                             LeadBits<kTiles> wanted) {
  const int quarter = static_cast<int>(threadIdx.x % 4u);
  visit_column<kTiles, T>(args, bases, tensor, column, wanted, [&](int lead, T *row, bool marked) {
    if (marked) store_row(tile + lead * shape.ld, shape, quarter, row, 0, shape.dim);
  });
}

constexpr int kColumnPieces = 2; // of 16 columns of the result, computed together

// Places pieces of results into rows `first` + g and `first` + g + 8 of a tile, as far as it has them; they become zero
// unless `real`.
template <typename Tile, int kPieces>
__device__ __forceinline__ void put_elements(typename Tile::Element *tile, int ld, int first, int rows,
                                             const float (&x)[kPieces][2][4], int pieces, const bool (&real)[2]) {
  const LanePlace at;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = first + at.g + 8 * i;
    if (row >= rows) continue;
    typename Tile::Element *target = tile + row * ld;
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      if (j >= pieces) break;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float low = real[i] ? x[j][h][2 * i] : 0.0f, high = real[i] ? x[j][h][2 * i + 1] : 0.0f;
        Tile::store_pair(target + 16 * j + Tile::first_column(at, h), low, high);
      }
    }
  }
}

// Four adjacent elements in shared memory.
__device__ __forceinline__ float4 widen4(const float *x) { return *reinterpret_cast<const float4 *>(x); }
template <typename T> __device__ __forceinline__ float4 widen4(const T *x) {
  const uint2 pairs = *reinterpret_cast<const uint2 *>(x);
  const float2 low = unpack2<T>(pairs.x), high = unpack2<T>(pairs.y);
  return make_float4(low.x, low.y, high.x, high.y);
}
__device__ __forceinline__ void add4(float4 &sum, float factor, float4 x) {
  sum.x = fmaf(factor, x.x, sum.x);
  sum.y = fmaf(factor, x.y, sum.y);
  sum.z = fmaf(factor, x.z, sum.z);
  sum.w = fmaf(factor, x.w, sum.w);
}
__device__ __forceinline__ float4 scaled4(float factor, float4 x) {
  return make_float4(factor * x.x, factor * x.y, factor * x.z, factor * x.w);
}

// Writes elements d .. d + 3 of a row of `shape.dim` elements to global memory.
template <typename T> __device__ __forceinline__ void store4(T *row, int d, const TileShape &shape, float4 x) {
  if (!shape.aligned) {
    const float elements[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (d + i < shape.dim) row[d + i] = narrow<T>(elements[i]);
    }
  } else if (d < shape.dim) {
    if constexpr (sizeof(T) == 4) {
      *reinterpret_cast<float4 *>(row + d) = x;
    } else {
      *reinterpret_cast<uint2 *>(row + d) = make_uint2(pack2<T>(x.x, x.y), pack2<T>(x.z, x.w));
    }
  }
}

} // namespace clear_cuda
