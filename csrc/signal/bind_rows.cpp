// Filters, order statistics and places of any rows.
#include "bindings.h"

#include <algorithm>
#include <cmath>

namespace clear_signal {
namespace {

Rows filter(const Rows &rows, const Rows &taps, int64_t up, int64_t down, int ends) {
  const Shape shape(rows);
  require(up > 0 && down > 0 && taps.ndim() == 2 && taps.shape(0) == up && taps.shape(1) % 2 == 1,
          "taps must be [up, odd]");
  require(ends >= 0 && ends <= 4, "ends must be 0 to 4");
  const Filter f{taps.data(), up, down, (taps.shape(1) - 1) / 2};
  const int64_t n = static_cast<Ends>(ends) == Ends::kGiven ? shape.n - 2 * f.reach : shape.n;
  require(n > 0, "rows are shorter than what goes beyond them");
  Rows out({shape.leads, (n * up + down - 1) / down});
  kernels().filter(f, static_cast<Ends>(ends), rows.data(), shape.leads, n, out.mutable_data());
  return out;
}

Rows filter_around(const Rows &rows, const Rows &taps, int ends, const Indices &starts, int64_t count) {
  const Shape shape(rows);
  require(ends >= 0 && ends <= 3 && count > 0, "ends must be 0 to 3, count positive");
  const Filter f = same_rate(taps);
  Rows out({shape.leads, static_cast<int64_t>(starts.size()), count});
  kernels().filter_around(f, static_cast<Ends>(ends), rows.data(), shape.leads, shape.n, starts.data(), starts.size(),
                          count, out.mutable_data());
  return out;
}

Rows ranked(const Rows &rows, const Indices &ranks) {
  const Shape shape(rows);
  require(shape.n <= INT32_MAX, "rows are too long");
  for (int64_t i = 0; i < ranks.size(); ++i) require(ranks.data()[i] >= 0 && ranks.data()[i] < shape.n, "no such rank");
  Rows out({static_cast<int64_t>(ranks.size()), shape.leads});
  kernels().ranked(rows.data(), shape.leads, shape.n, ranks.data(), ranks.size(), out.mutable_data());
  return out;
}

Rows running_median(const Rows &rows, int64_t size, int64_t every) {
  const Shape shape(rows);
  require(size > 0 && every > 0, "size and every must be positive");
  Rows out({shape.leads, shape.n});
  kernels().running_median(rows.data(), shape.leads, shape.n, size, every, out.mutable_data());
  return out;
}

Rows running_maximum(const Rows &rows, int64_t size) {
  const Shape shape(rows);
  require(size > 0 && size % 2 == 1, "size must be odd");
  Rows out({shape.leads, shape.n});
  kernels().running_maximum(rows.data(), shape.leads, shape.n, size, out.mutable_data());
  return out;
}

py::tuple cell_extremes(const Rows &rows, int64_t cell, int64_t cells) {
  const Shape shape(rows);
  require(cell > 0 && cells > 0 && (cells - 1) * cell < shape.n, "cells lie beyond the rows");
  Rows largest({shape.leads, cells}), smallest({shape.leads, cells});
  kernels().cell_extremes(rows.data(), shape.leads, shape.n, cell, cells, largest.mutable_data(),
                          smallest.mutable_data());
  return py::make_tuple(largest, smallest);
}

Rows window_medians(const Rows &rows, const Indices &starts, int64_t size) {
  const Shape shape(rows);
  require(size > 0 && starts.size() > 0, "there must be a window");
  for (int64_t i = 0; i < starts.size(); ++i) {
    require(starts.data()[i] >= 0 && starts.data()[i] + size <= shape.n, "windows must lie inside the rows");
  }
  Rows out({shape.leads, size});
  kernels().window_medians(rows.data(), shape.leads, shape.n, starts.data(), starts.size(), size, out.mutable_data());
  return out;
}

Indices map_indices(const Indices &index, double ratio, int64_t last) {
  Indices out(index.size());
  for (int64_t i = 0; i < index.size(); ++i) {
    const auto mapped = static_cast<int64_t>(std::floor(static_cast<double>(index.data()[i]) * ratio + 0.5));
    out.mutable_data()[i] = std::min(std::max<int64_t>(mapped, 0), last);
  }
  return out;
}

} // namespace

void bind_rows(py::module_ &m) {
  m.def("filter", &filter);
  m.def("filter_around", &filter_around);
  m.def("ranked", &ranked);
  m.def("running_median", &running_median);
  m.def("running_maximum", &running_maximum);
  m.def("cell_extremes", &cell_extremes);
  m.def("window_medians", &window_medians);
  m.def("map_indices", &map_indices);
}

} // namespace clear_signal
