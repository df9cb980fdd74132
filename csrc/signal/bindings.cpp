// pybind11 module clear_hug._signal: NumPy arrays in and out.
#include "bindings.h"

PYBIND11_MODULE(_signal, m) {
  using namespace clear_signal;
  m.doc() = "Kernels of the preparation of records; each gives the bits of its twin in NumPy.";
  m.def("isa", [] { return kernels().name; });
  m.def("isas", &isas);
  bind_rows(m);
  bind_leads(m);
  bind_beats(m);
}
