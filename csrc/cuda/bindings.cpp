// pybind11 module clear_kernels._cuda: the C interface of api.h for Python. torch is unknown here, so one build serves
// every torch release; Python allocates the tensors and checks their shapes.
#include <cuda_runtime_api.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>

#include "api.h"

namespace py = pybind11;

namespace {

using Rows = std::tuple<uintptr_t, int64_t, int64_t, int64_t>;
using Mask = std::tuple<uintptr_t, int64_t>;

// The fields of backends/cuda.py's Problem, in its order.
using Fields =
    std::tuple<int32_t, int32_t, int32_t, int32_t, int64_t, int64_t, int64_t, std::array<Rows, CLEAR_TENSORS>,
               uintptr_t, Mask, Mask, Mask, uintptr_t, uint32_t, double, double>;

template <typename T> T *pointer(uintptr_t address) { return reinterpret_cast<T *>(address); }

ClearMask mask(const Mask &fields) { return {pointer<const uint8_t>(std::get<0>(fields)), std::get<1>(fields)}; }

ClearProblem problem(const Fields &fields) {
  ClearProblem p{};
  std::array<Rows, CLEAR_TENSORS> rows;
  uintptr_t lse = 0, seed = 0;
  Mask visible, valid, lead;
  std::tie(p.dtype, p.form, p.leads, p.dim, p.batch, p.heads, p.beats, rows, lse, visible, valid, lead, seed,
           p.drop_below, p.keep_scale, p.scale) = fields;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto &[address, batch, head, row] = rows[i];
    p.rows[i] = {pointer<void>(address), batch, head, row};
  }
  p.lse = pointer<void>(lse);
  p.visible = mask(visible);
  p.valid = mask(valid);
  p.lead = pointer<const int32_t>(std::get<0>(lead));
  p.lead_batch = std::get<1>(lead);
  p.seed = pointer<const int64_t>(seed);
  return p;
}

void check(int status) {
  if (status == cudaSuccess) return;
  cudaGetLastError(); // it is reported here and not once more elsewhere
  throw std::runtime_error(std::string("clear_kernels CUDA call: ") +
                           cudaGetErrorString(static_cast<cudaError_t>(status)));
}

// The statically linked runtime keeps its own current device, hence the index in every call.
int64_t workspace(const Fields &fields, bool backward, int device) {
  const ClearProblem p = problem(fields);
  ClearPlan plan{};
  check(cudaSetDevice(device));
  check(clear_cuda_plan(&p, backward, nullptr, &plan));
  return plan.workspace;
}

// For a GPU that need not be here: multiprocessors, shared memory per block and per multiprocessor.
std::map<std::string, int64_t> plan(const Fields &fields, bool backward, const std::array<int32_t, 3> &limits) {
  const ClearProblem p = problem(fields);
  const ClearDevice device = {limits[0], limits[1], limits[2]};
  ClearPlan plan{};
  check(clear_cuda_plan(&p, backward, &device, &plan));
  return {{"workspace", plan.workspace},
          {"chunks", plan.chunks},
          {"engine", plan.engine},
          {"column_warps", plan.column_warps},
          {"column_shared", plan.column_shared},
          {"dense_warps", plan.dense_warps},
          {"dense_shared", plan.dense_shared},
          {"head_warps", plan.head_warps},
          {"head_shared", plan.head_shared}};
}

void run(const Fields &fields, bool backward, uintptr_t scratch, int64_t size, uintptr_t stream, int device) {
  const ClearProblem p = problem(fields);
  const ClearLaunch launch = {pointer<void>(scratch), size, pointer<void>(stream)};
  int status = cudaSuccess;
  {
    const py::gil_scoped_release release;
    status = cudaSetDevice(device);
    if (status == cudaSuccess) status = backward ? clear_cuda_backward(&p, &launch) : clear_cuda_forward(&p, &launch);
  }
  check(status);
}

std::map<std::string, std::string> build_info() {
  std::map<std::string, std::string> info;
#if defined(__VERSION__)
  info["compiler"] = __VERSION__;
#endif
  info["CUDA runtime"] = std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
#if defined(CK_CUDA_ARCHS)
  info["architectures"] = CK_CUDA_ARCHS;
#else
#error "define CK_CUDA_ARCHS, such as \"80;90+PTX\""
#endif
  return info;
}

} // namespace

PYBIND11_MODULE(_cuda, m) {
  m.doc() = "Heartbeat-local sparse attention on NVIDIA GPUs.";
  m.def("workspace", &workspace);
  m.def("plan", &plan);
  m.def("run", &run);
  m.def("build_info", &build_info);
}
