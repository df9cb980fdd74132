// pybind11 module clear_kernels._cpu: raw pointers, sizes and strides in, nothing out. torch is unknown here, so one
// build serves every torch release; Python allocates the tensors and checks their shapes.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <map>
#include <stdexcept>

#include "attention.h"
#include "parallel.h"

namespace py = pybind11;
using namespace clear_kernels;

namespace {

using StrideTriple = std::array<int64_t, 3>;

template <class X> X *pointer(uintptr_t address) { return reinterpret_cast<X *>(address); }

Tensor tensor(uintptr_t address, const StrideTriple &strides) {
  return {pointer<const void>(address), {strides[0], strides[1], strides[2]}};
}

// The arguments that forward and backward share, in the order of the Python call.
struct Common {
  int form, dtype;
  int64_t batch, heads, leads, beats, dim;
  uintptr_t q, k, v;
  StrideTriple q_strides, k_strides, v_strides;
  bool all_visible;
  uintptr_t visible;
  int64_t visible_batch_stride;
  uintptr_t valid;
  int64_t valid_batch_stride;
  uintptr_t lead;
  int64_t lead_batch_stride;
  double dropout_p;
  uint64_t seed;
  double scale;
};

template <class P> P problem(const Common &c) {
  if (c.form < 0 || c.form > 1) throw std::invalid_argument("form must be 0 (grid) or 1 (packed)");
  if (c.dtype < 0 || c.dtype > 3) throw std::invalid_argument("dtype must be 0..3");
  if (c.leads < 1 || c.leads > kMaxGroup) throw std::invalid_argument("leads must be 1..64");
  P p{};
  p.form = static_cast<Form>(c.form);
  p.dtype = static_cast<DType>(c.dtype);
  p.batch = c.batch;
  p.heads = c.heads;
  p.leads = c.leads;
  p.beats = c.beats;
  p.dim = c.dim;
  p.rows = p.grid() ? c.leads * (c.beats + 1) : c.leads + c.beats;
  p.q = tensor(c.q, c.q_strides);
  p.k = tensor(c.k, c.k_strides);
  p.v = tensor(c.v, c.v_strides);
  p.all_visible = c.all_visible || !p.grid();
  p.visible = {pointer<const uint8_t>(c.visible), c.visible_batch_stride};
  p.valid = {pointer<const uint8_t>(c.valid), c.valid_batch_stride};
  p.lead = pointer<const int32_t>(c.lead);
  p.lead_batch_stride = c.lead_batch_stride;
  p.dropout_p = c.dropout_p;
  p.dropout_threshold = static_cast<uint32_t>(std::floor(c.dropout_p * 4294967296.0));
  p.seed = c.seed;
  p.scale = c.scale;
  return p;
}

void forward(int form, int dtype, int64_t batch, int64_t heads, int64_t leads, int64_t beats, int64_t dim, uintptr_t q,
             uintptr_t k, uintptr_t v, const StrideTriple &q_strides, const StrideTriple &k_strides,
             const StrideTriple &v_strides, uintptr_t out, uintptr_t lse, bool all_visible, uintptr_t visible,
             int64_t visible_batch_stride, uintptr_t valid, int64_t valid_batch_stride, uintptr_t lead,
             int64_t lead_batch_stride, double dropout_p, uint64_t seed, double scale, int threads,
             const std::string &isa) {
  auto p = problem<ForwardProblem>({form,      dtype,
                                    batch,     heads,
                                    leads,     beats,
                                    dim,       q,
                                    k,         v,
                                    q_strides, k_strides,
                                    v_strides, all_visible,
                                    visible,   visible_batch_stride,
                                    valid,     valid_batch_stride,
                                    lead,      lead_batch_stride,
                                    dropout_p, seed,
                                    scale});
  p.out = pointer<void>(out);
  p.lse = pointer<void>(lse);
  const py::gil_scoped_release release;
  attention_forward(p, threads, isa);
}

void backward(int form, int dtype, int64_t batch, int64_t heads, int64_t leads, int64_t beats, int64_t dim, uintptr_t q,
              uintptr_t k, uintptr_t v, const StrideTriple &q_strides, const StrideTriple &k_strides,
              const StrideTriple &v_strides, uintptr_t out, uintptr_t lse, uintptr_t dout,
              const StrideTriple &dout_strides, uintptr_t dq, uintptr_t dk, uintptr_t dv, bool all_visible,
              uintptr_t visible, int64_t visible_batch_stride, uintptr_t valid, int64_t valid_batch_stride,
              uintptr_t lead, int64_t lead_batch_stride, double dropout_p, uint64_t seed, double scale, int threads,
              const std::string &isa) {
  auto p = problem<BackwardProblem>({form,      dtype,
                                     batch,     heads,
                                     leads,     beats,
                                     dim,       q,
                                     k,         v,
                                     q_strides, k_strides,
                                     v_strides, all_visible,
                                     visible,   visible_batch_stride,
                                     valid,     valid_batch_stride,
                                     lead,      lead_batch_stride,
                                     dropout_p, seed,
                                     scale});
  p.out = pointer<const void>(out);
  p.lse = pointer<const void>(lse);
  p.dout = tensor(dout, dout_strides);
  p.dq = pointer<void>(dq);
  p.dk = pointer<void>(dk);
  p.dv = pointer<void>(dv);
  const py::gil_scoped_release release;
  attention_backward(p, threads, isa);
}

std::map<std::string, std::string> build_info() {
  std::map<std::string, std::string> info;
#if defined(__VERSION__)
  info["compiler"] = __VERSION__;
#endif
  std::string names;
  for (const std::string &name : runnable_variants()) names += names.empty() ? name : ", " + name;
  info["instruction sets that run here"] = names;
#if defined(CK_HAVE_X86_VARIANTS)
  info["instruction sets built"] = "avx512, avx2, generic";
#else
  info["instruction sets built"] = "generic";
#endif
  info["threads"] = parallel_runtime();
  return info;
}

} // namespace

PYBIND11_MODULE(_cpu, m) {
  m.doc() = "Heartbeat-local sparse attention on the CPU.";
  m.def("attention_forward", &forward);
  m.def("attention_backward", &backward);
  m.def("isas", &runnable_variants);
  m.def("build_info", &build_info);
}
