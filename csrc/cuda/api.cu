#include "api.h"

#include "launch.cuh"
#include "list_slots.cuh"
#include "plan.h"

namespace clear_cuda {
namespace {

// The samples [first, first + count) of a problem.
ClearProblem slice(const ClearProblem &problem, int64_t first, int64_t count) {
  ClearProblem p = problem;
  const int size = p.dtype == CLEAR_FLOAT64 ? 8 : p.dtype == CLEAR_FLOAT32 ? 4 : 2;
  const auto advance = [](auto *pointer, int64_t bytes) {
    using Pointer = decltype(pointer);
    return pointer == nullptr ? pointer : reinterpret_cast<Pointer>(reinterpret_cast<uintptr_t>(pointer) + bytes);
  };
  for (ClearRows &rows : p.rows) rows.data = advance(rows.data, first * rows.batch * size);
  p.lse = advance(p.lse, first * p.heads * token_count(p) * (p.dtype == CLEAR_FLOAT64 ? 8 : 4));
  p.visible.data = advance(p.visible.data, first * p.visible.batch);
  p.valid.data = advance(p.valid.data, first * p.valid.batch);
  p.lead = advance(p.lead, first * p.lead_batch * int64_t(sizeof(int32_t)));
  p.batch_first += first;
  p.batch = count;
  return p;
}

struct Call {
  Plan plan;
  unsigned char *workspace;
  cudaStream_t stream;
  bool backward;

  template <typename T> T *at(int64_t offset) const {
    return offset < 0 ? nullptr : reinterpret_cast<T *>(workspace + offset);
  }
  SlotList list(const ClearProblem &p, int64_t first_sample) const {
    const int64_t skipped = plan.list_samples > 1 ? first_sample : 0;
    Slot *slots = at<Slot>(plan.workspace.slots);
    if (slots == nullptr) return {nullptr, nullptr, 0};
    return {slots + skipped * token_count(p), at<int32_t>(plan.workspace.counts) + skipped,
            plan.list_samples > 1 ? token_count(p) : 0};
  }
};

cudaError_t row_by_row(const Call &call, const ClearProblem &p) {
  const RowsArguments args = {p, call.list(p, 0), 0, call.at<void>(call.plan.workspace.delta)};
  return p.dtype == CLEAR_FLOAT64 ? run_rows<double>(args, call.backward, call.stream)
                                  : run_rows<float>(args, call.backward, call.stream);
}

// The dense part first: it leaves the gradients of global keys where the columns find them.
template <typename Tile> cudaError_t by_tiles(const Call &call, const ClearProblem &p, int64_t first_sample) {
  const WorkspaceLayout &layout = call.plan.workspace;
  float *global_dk = call.at<float>(layout.global_dk), *global_dv = call.at<float>(layout.global_dv);
  float *delta = call.at<float>(layout.delta);
  if (delta != nullptr) delta += first_sample * p.heads * token_count(p);
  if (p.form != CLEAR_LOCAL) {
    const DenseArguments args = {p, call.plan.dense, call.list(p, first_sample), delta, global_dk, global_dv};
    const cudaError_t status = run_dense<Tile>(args, call.backward, call.stream);
    if (status != cudaSuccess || p.form != CLEAR_MIXED) return status;
  }
  const ClassPartials partials = {call.at<float>(layout.class_max), call.at<float>(layout.class_sum),
                                  call.at<float>(layout.class_rows)};
  const ColumnsArguments args(p, call.plan.columns, partials, global_dk, global_dv, delta);
  return run_columns<Tile>(args, call.backward, call.stream);
}

cudaError_t by_heads(const Call &call, const ClearProblem &p) {
  const ColumnsArguments args(p, call.plan.head, {}, nullptr, nullptr, nullptr);
  return p.dtype == CLEAR_BFLOAT16 ? run_head<__nv_bfloat16>(args, call.backward, call.stream)
                                   : run_head<__half>(args, call.backward, call.stream);
}

cudaError_t run(const ClearProblem &p, const ClearLaunch &where, bool backward) {
  if (p.batch == 0 || p.heads == 0) return cudaSuccess;
  ClearDevice device{};
  cudaError_t status = current_device(&device);
  if (status != cudaSuccess) return status;
  const Call call = {make_plan(p, backward, device), static_cast<unsigned char *>(where.workspace),
                     static_cast<cudaStream_t>(where.stream), backward};
  if (call.plan.workspace.bytes > where.workspace_size) return cudaErrorInvalidValue;
  if (call.plan.engine == CLEAR_WHOLE_HEADS) return by_heads(call, p);
  if (call.plan.list_samples > 0) {
    const SlotArguments args = {p, call.list(p, 0)};
    status = launch(list_slots, call.plan.list_samples, kSlotThreads, 0, call.stream, args);
  }
  if (call.plan.engine == CLEAR_ROW_BY_ROW) return status != cudaSuccess ? status : row_by_row(call, p);
  for (int64_t first = 0; first < p.batch && status == cudaSuccess; first += call.plan.batch_step) {
    const int64_t left = p.batch - first;
    const ClearProblem part = slice(p, first, left < call.plan.batch_step ? left : call.plan.batch_step);
    switch (p.dtype) {
    case CLEAR_FLOAT32:
      status = by_tiles<ScalarTile>(call, part, first);
      break;
    case CLEAR_BFLOAT16:
      status = by_tiles<TensorTile<__nv_bfloat16>>(call, part, first);
      break;
    case CLEAR_FLOAT16:
      status = by_tiles<TensorTile<__half>>(call, part, first);
      break;
    default:
      return cudaErrorInvalidValue;
    }
  }
  return status;
}

} // namespace
} // namespace clear_cuda

int clear_cuda_plan(const ClearProblem *problem, int backward, const ClearDevice *device, ClearPlan *plan) {
  using namespace clear_cuda;
  ClearDevice current{};
  if (device == nullptr) {
    const cudaError_t status = current_device(&current);
    if (status != cudaSuccess) return status;
    device = &current;
  }
  const Plan made = make_plan(*problem, backward != 0, *device);
  const bool back = backward != 0;
  const ColumnsPlan &columns = made.columns;
  const DensePlan &dense = made.dense;
  *plan = {made.workspace.bytes, columns.chunks, made.engine, columns.warps, 0, dense.warps, 0, made.head.warps, 0};
  if (columns.warps > 0) {
    const ColumnsCost cost = columns_cost(*problem, back, columns.warps, columns.aligned);
    plan->column_shared = static_cast<int32_t>(cost.shared_bytes);
  }
  if (dense.warps > 0) {
    plan->dense_shared = static_cast<int32_t>(dense_bytes(*problem, back, dense.warps, dense.stages));
  }
  if (made.head.warps > 0) {
    plan->head_shared = static_cast<int32_t>(head_cost(*problem, back).shared_bytes);
  }
  return cudaSuccess;
}

int clear_cuda_forward(const ClearProblem *problem, const ClearLaunch *launch) {
  return clear_cuda::run(*problem, *launch, false);
}

int clear_cuda_backward(const ClearProblem *problem, const ClearLaunch *launch) {
  return clear_cuda::run(*problem, *launch, true);
}
