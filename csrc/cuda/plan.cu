#include "plan.h"

#include <algorithm>
#include <iterator>

namespace clear_cuda {
namespace {

constexpr int64_t kBlocksPerMultiprocessor = 16; // wanted in a launch, to even out its end
constexpr int64_t kMinChunkColumns = 32;         // below it, loading the class tokens again outweighs the gain
constexpr int kWantedWarps = 16;                 // resident per multiprocessor; the registers allow no more
constexpr int kReservedShared = 1024;            // what the driver takes of each block
constexpr int kWantedHeads = 2;                  // head kernels of a multiprocessor, so that one loads while one works
constexpr int kMaxPartColumns = 128;             // of D, in the result of a dense block

// Bytes for float dk and dv of global keys; larger batches go in several rounds. Tests build with less.
#if defined(CLEAR_GLOBAL_WORKSPACE)
constexpr int64_t kGlobalWorkspace = CLEAR_GLOBAL_WORKSPACE;
#else
constexpr int64_t kGlobalWorkspace = 256 << 20;
#endif

template <typename T> T divide_up(T a, T b) { return (a + b - 1) / b; }

int element_size(const ClearProblem &p) { return p.dtype == CLEAR_FLOAT64 ? 8 : p.dtype == CLEAR_FLOAT32 ? 4 : 2; }

bool has_columns(const ClearProblem &p) { return p.form == CLEAR_LOCAL || p.form == CLEAR_MIXED; }

// Whether 16-byte accesses fit every row of every tensor.
bool is_aligned(const ClearProblem &p, bool backward) {
  const int size = element_size(p);
  const auto whole = [&](int64_t elements) { return elements * size % 16 == 0; };
  const auto fits = [&](const ClearRows &x) {
    return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && (p.batch == 1 || whole(x.batch)) &&
           (p.heads == 1 || whole(x.head)) && whole(x.row);
  };
  if (!whole(p.dim)) return false;
  for (const int tensor : {CLEAR_Q, CLEAR_K, CLEAR_V, CLEAR_OUT}) {
    if (!fits(p.rows[tensor])) return false;
  }
  for (const int tensor : {CLEAR_DOUT, CLEAR_DQ, CLEAR_DK, CLEAR_DV}) {
    if (backward && !fits(p.rows[tensor])) return false;
  }
  return true;
}

// Whether a row of a head is found from its first one in 32 bits, and its number takes 16.
bool counts_in_32_bits(const ClearProblem &p) {
  const int64_t tokens = token_count(p);
  return tokens <= UINT16_MAX && std::all_of(std::begin(p.rows), std::end(p.rows),
                                             [&](const ClearRows &x) { return tokens * x.row <= INT32_MAX; });
}

// Blocks of a multiprocessor at a time.
int64_t resident_blocks(const ColumnsCost &cost, int warps, const ClearDevice &device) {
  const int64_t by_memory = device.shared_per_multiprocessor / (cost.shared_bytes + kReservedShared);
  return cost.resident_warps == 0 ? by_memory : std::min<int64_t>(by_memory, cost.resident_warps / warps);
}

// How good `warps` warps in a block of the columns kernels are: as many resident ones as can be, and little idle time
// in the last group of columns.
double columns_score(int64_t resident, int warps, int64_t columns) {
  const double busy = double(columns) / double(divide_up<int64_t>(columns, warps) * warps);
  return double(std::min<int64_t>(resident * warps, kWantedWarps)) * busy;
}

// The same of the beat kernels: that `blocks` blocks are done soon, in rounds that each take as long as a warp needs
// for its columns, and for one more to begin and to end. Forward, a warp alone was slower than that on an H200.
double beats_score(int64_t resident, int warps, int64_t columns, int64_t blocks, bool backward,
                   const ClearDevice &device) {
  const int64_t rounds = divide_up(blocks, std::max<int64_t>(resident, 1) * device.multiprocessors);
  const double time = double(rounds) * double(divide_up<int64_t>(columns, warps) + 1);
  return !backward && warps == 1 && columns > 1 ? 0.0 : 1.0 / time;
}

// Warps per block, of `blocks` blocks with `columns` columns each.
int choose_column_warps(const ClearProblem &p, bool backward, bool aligned, int64_t blocks, int64_t columns,
                        const ClearDevice &device) {
  int best = 0;
  double best_score = 0.0;
  for (int warps = 1; warps <= kColumnWarps; ++warps) {
    const ColumnsCost cost = columns_cost(p, backward, warps, aligned);
    const bool beats = cost.resident_warps != 0;
    if (cost.shared_bytes > device.shared_per_block || (beats && warps > kBeatWarps)) break;
    const int64_t resident = resident_blocks(cost, warps, device);
    const double score = beats ? beats_score(resident, warps, columns, blocks, backward, device)
                               : columns_score(resident, warps, columns);
    if (score >= best_score) {
      best = warps;
      best_score = score;
    }
  }
  return best;
}

ColumnsPlan plan_columns(const ClearProblem &p, bool backward, const ClearDevice &device) {
  ColumnsPlan plan{};
  const int64_t heads = std::max<int64_t>(p.batch * p.heads, 1);
  const int64_t wanted = kBlocksPerMultiprocessor * device.multiprocessors / heads;
  const int64_t chunks = std::max<int64_t>(std::min(wanted, p.beats / kMinChunkColumns), 1);
  const int64_t columns = divide_up(p.beats, chunks);
  plan.aligned = is_aligned(p, backward);
  plan.warps = choose_column_warps(p, backward, plan.aligned, heads * chunks, columns, device);
  if (plan.warps == 0) return plan;
  plan.columns_per_chunk = divide_up(columns, int64_t(plan.warps)) * plan.warps;
  plan.chunks = divide_up(p.beats, plan.columns_per_chunk);
  return plan;
}

DensePlan plan_dense(const ClearProblem &p, bool backward, const ClearDevice &device) {
  DensePlan plan{};
  const int64_t rows = p.form == CLEAR_MIXED ? beat_count(p) : token_count(p);
  plan.warps = static_cast<int>(std::min<int64_t>(kDenseWarps, std::max<int64_t>(divide_up<int64_t>(rows, 16), 1)));
  plan.stages = 2;
  const auto fits = [&] { return dense_bytes(p, backward, plan.warps, plan.stages) <= device.shared_per_block; };
  if (!fits()) plan.stages = 1;
  while (plan.warps > 0 && !fits()) --plan.warps;
  if (plan.warps == 0) return plan;
  plan.first_slot = p.form == CLEAR_MIXED ? p.leads : 0;
  plan.row_blocks = divide_up<int64_t>(rows, plan.warps * kTileRows);
  plan.parts = divide_up(p.dim, kMaxPartColumns);
  plan.aligned = is_aligned(p, backward);
  return plan;
}

// 0 warps where no head kernel serves the problem, or two blocks do not fit a multiprocessor.
ColumnsPlan plan_head(const ClearProblem &p, bool backward, const ClearDevice &device) {
  ColumnsPlan plan = {0, p.beats, 1, true};
  if (!counts_in_32_bits(p) || !is_aligned(p, backward)) return plan;
  const HeadCost cost = head_cost(p, backward);
  const int64_t bytes = cost.shared_bytes + kReservedShared;
  if (kWantedHeads * bytes <= device.shared_per_multiprocessor) plan.warps = cost.warps;
  return plan;
}

WorkspaceLayout lay_out(const ClearProblem &p, const Plan &plan, bool backward) {
  WorkspaceLayout layout;
  const auto reserve = [&](int64_t bytes) {
    const int64_t offset = layout.bytes;
    layout.bytes += divide_up<int64_t>(bytes, 256) * 256;
    return offset;
  };
  const bool tiles = plan.engine == CLEAR_TILES;
  const int64_t rows = p.batch * p.heads * token_count(p);
  if (plan.list_samples > 0) {
    layout.slots = reserve(plan.list_samples * token_count(p) * int64_t(sizeof(Slot)));
    layout.counts = reserve(plan.list_samples * int64_t(sizeof(int32_t)));
  }
  if (backward && (!tiles || p.form != CLEAR_LOCAL)) layout.delta = reserve(rows * (p.dtype == CLEAR_FLOAT64 ? 8 : 4));
  const int64_t heads = plan.batch_step * p.heads;
  if (tiles && has_columns(p) && plan.columns.chunks > 1) {
    const int64_t parts = heads * plan.columns.chunks * p.leads;
    if (!backward) {
      layout.class_max = reserve(parts * 4);
      layout.class_sum = reserve(parts * 4);
    }
    layout.class_rows = reserve(parts * p.dim * 4 * (backward ? 3 : 1));
  }
  if (tiles && backward && p.form == CLEAR_MIXED) {
    layout.global_dk = reserve(heads * beat_count(p) * p.dim * 4);
    layout.global_dv = reserve(heads * beat_count(p) * p.dim * 4);
  }
  return layout;
}

} // namespace

ColumnsCost columns_cost(const ClearProblem &p, bool backward, int warps, bool aligned) {
  switch (p.dtype) {
  case CLEAR_BFLOAT16:
    return columns_cost<TensorTile<__nv_bfloat16>>(p, backward, warps, aligned);
  case CLEAR_FLOAT16:
    return columns_cost<TensorTile<__half>>(p, backward, warps, aligned);
  default:
    return columns_cost<ScalarTile>(p, backward, warps, aligned);
  }
}

int64_t dense_bytes(const ClearProblem &p, bool backward, int warps, int stages) {
  switch (p.dtype) {
  case CLEAR_BFLOAT16:
    return dense_shared_bytes<TensorTile<__nv_bfloat16>>(p, backward, warps, stages);
  case CLEAR_FLOAT16:
    return dense_shared_bytes<TensorTile<__half>>(p, backward, warps, stages);
  default:
    return dense_shared_bytes<ScalarTile>(p, backward, warps, stages);
  }
}

HeadCost head_cost(const ClearProblem &p, bool backward) {
  switch (p.dtype) {
  case CLEAR_BFLOAT16:
    return head_cost<__nv_bfloat16>(p, backward);
  case CLEAR_FLOAT16:
    return head_cost<__half>(p, backward);
  default:
    return {0, 0};
  }
}

cudaError_t current_device(ClearDevice *device) {
  int index = 0;
  cudaError_t status = cudaGetDevice(&index);
  const auto read = [&](int32_t *value, cudaDeviceAttr attribute) {
    if (status == cudaSuccess) status = cudaDeviceGetAttribute(value, attribute, index);
  };
  read(&device->multiprocessors, cudaDevAttrMultiProcessorCount);
  read(&device->shared_per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  read(&device->shared_per_multiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  return status;
}

Plan make_plan(const ClearProblem &p, bool backward, const ClearDevice &device) {
  Plan plan{};
  plan.head = plan_head(p, backward, device);
  if (plan.head.warps > 0) {
    plan.engine = CLEAR_WHOLE_HEADS;
    plan.batch_step = p.batch;
    return plan;
  }
  plan.engine = p.dtype == CLEAR_FLOAT64 ? CLEAR_ROW_BY_ROW : CLEAR_TILES;
  if (plan.engine == CLEAR_TILES) {
    if (has_columns(p)) plan.columns = plan_columns(p, backward, device);
    if (p.form != CLEAR_LOCAL) plan.dense = plan_dense(p, backward, device);
    const bool fits = (!has_columns(p) || plan.columns.warps > 0) && (p.form == CLEAR_LOCAL || plan.dense.warps > 0);
    if (!fits) plan.engine = CLEAR_ROW_BY_ROW;
  }
  const bool shared_list = p.valid.batch == 0 && p.visible.batch == 0 && p.lead_batch == 0;
  plan.list_samples = p.form == CLEAR_LOCAL ? 0 : shared_list ? 1 : p.batch;
  plan.batch_step = p.batch;
  if (plan.engine == CLEAR_TILES && backward && p.form == CLEAR_MIXED) {
    const int64_t per_sample = p.heads * beat_count(p) * p.dim * 2 * 4;
    plan.batch_step = std::min(p.batch, std::max<int64_t>(kGlobalWorkspace / std::max<int64_t>(per_sample, 1), 1));
  }
  plan.workspace = lay_out(p, plan, backward);
  return plan;
}

} // namespace clear_cuda
