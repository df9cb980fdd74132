// What the parts of the module clear_hug._signal share. Arrays of another type are refused, ones that are not
// contiguous are copied. Shapes and places are checked here, so that no call can reach beyond an array.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <vector>

#include "dispatch.h"

namespace clear_signal {

namespace py = pybind11;

template <class X> using Array = py::array_t<X, py::array::c_style>;
using Rows = Array<float>;
using Indices = Array<int64_t>;

inline void require(bool condition, const char *what) {
  if (!condition) throw std::invalid_argument(what);
}

// Shape of rows that are not empty.
struct Shape {
  explicit Shape(const Rows &rows) {
    require(rows.ndim() == 2 && rows.size() > 0, "rows must be [leads, n], not empty");
    leads = rows.shape(0);
    n = rows.shape(1);
  }
  int64_t leads, n;
};

// A filter that keeps the rate; its taps [1, odd] must live as long.
inline Filter same_rate(const Rows &taps) {
  require(taps.ndim() == 2 && taps.shape(0) == 1 && taps.shape(1) % 2 == 1, "taps must be [1, odd]");
  return {taps.data(), 1, 1, (taps.shape(1) - 1) / 2};
}

void bind_rows(py::module_ &m);
void bind_leads(py::module_ &m);
void bind_beats(py::module_ &m);

} // namespace clear_signal
