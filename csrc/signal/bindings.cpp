// pybind11 module clear_hug._signal: NumPy arrays in and out. Arrays of another type are refused, ones that are not
// contiguous are copied. Shapes and places are checked here, so that no call can reach beyond an array.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "candidates.h"
#include "kernels.h"
#include "search.h"

namespace py = pybind11;
using namespace clear_signal;

namespace {

template <class X> using Array = py::array_t<X, py::array::c_style>;
using Rows = Array<float>;
using Indices = Array<int64_t>;

// The variants that run on this processor, the fastest first.
std::vector<const Kernels *> runnable() {
  std::vector<const Kernels *> found;
#if defined(CK_HAVE_X86_VARIANTS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) {
    found.push_back(&avx512::kernels());
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::kernels());
#endif
  found.push_back(&generic::kernels());
  return found;
}

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const Kernels *variant : runnable()) names.emplace_back(variant->name);
  return names;
}

// The fastest variant, or the one that CLEAR_HUG_NATIVE names.
const Kernels &choose() {
  const char *wanted = std::getenv("CLEAR_HUG_NATIVE");
  const std::vector<const Kernels *> found = runnable();
  for (const Kernels *variant : found) {
    if (wanted != nullptr && std::string(variant->name) == wanted) return *variant;
  }
  return *found.front();
}

const Kernels &kernels() {
  static const Kernels &chosen = choose();
  return chosen;
}

void require(bool condition, const char *what) {
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
  require(taps.ndim() == 2 && taps.shape(0) == 1 && taps.shape(1) % 2 == 1, "taps must be [1, odd]");
  require(ends >= 0 && ends <= 3 && count > 0, "ends must be 0 to 3, count positive");
  const Filter f{taps.data(), 1, 1, (taps.shape(1) - 1) / 2};
  Rows out({shape.leads, static_cast<int64_t>(starts.size()), count});
  kernels().filter_around(f, static_cast<Ends>(ends), rows.data(), shape.leads, shape.n, starts.data(), starts.size(),
                          count, out.mutable_data());
  return out;
}

py::tuple decode(const py::bytes &held, int64_t columns, const Indices &picked, const Array<double> &baseline,
                 const Array<double> &gain, const Array<double> &unit) {
  const std::string_view bytes = held;
  const int64_t leads = picked.size(), n = columns > 0 ? static_cast<int64_t>(bytes.size()) / (2 * columns) : 0;
  require(n > 0 && baseline.size() == leads && gain.size() == leads && unit.size() == leads, "sizes differ");
  for (int64_t i = 0; i < leads; ++i) require(picked.data()[i] >= 0 && picked.data()[i] < columns, "no such column");
  const auto *counts = reinterpret_cast<const int16_t *>(bytes.data());
  Array<int32_t> sums(leads);
  Array<double> out({leads, n});
  kernels().decode(counts, columns, picked.data(), leads, n, baseline.data(), gain.data(), unit.data(),
                   out.mutable_data(), sums.mutable_data());
  return py::make_tuple(out, sums);
}

py::object range(const Rows &rows) {
  const Shape shape(rows);
  Rows low(shape.leads), high(shape.leads);
  if (!kernels().range(rows.data(), shape.leads, shape.n, low.mutable_data(), high.mutable_data())) return py::none();
  return py::make_tuple(low, high);
}

py::object lead_facts(const Rows &rows, int64_t reach, int64_t half, int64_t step) {
  const Shape shape(rows);
  require(reach > 0 && half > 0 && step > 0, "reach, half and step must be positive");
  Rows low(shape.leads), high(shape.leads), curvature(shape.leads), noise(shape.leads);
  Indices at_limits(shape.leads);
  const Facts facts{low.mutable_data(), high.mutable_data(), at_limits.mutable_data(), curvature.mutable_data(),
                    noise.mutable_data()};
  if (!kernels().lead_facts(rows.data(), shape.leads, shape.n, reach, half, step, facts)) return py::none();
  return py::make_tuple(low, high, at_limits, curvature, noise);
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

Rows weighed_sum(const Rows &energy, const Rows &height, const Rows &weight, int64_t cell, float largest) {
  const Shape shape(energy), of_cells(height);
  require(of_cells.leads == shape.leads && weight.ndim() == 2 && weight.shape(0) == shape.leads &&
              weight.shape(1) == of_cells.n && cell > 0 && (of_cells.n - 1) * cell < shape.n,
          "shapes differ");
  Rows out(shape.n);
  kernels().weighed_sum(energy.data(), shape.leads, shape.n, height.data(), weight.data(), cell, of_cells.n, largest,
                        out.mutable_data());
  return out;
}

template <class X> Array<X> array(const std::vector<X> &values) {
  return Array<X>(static_cast<int64_t>(values.size()), values.data());
}

Indices peaks(const Rows &curve, int64_t distance) { return array(spaced_peaks(curve.data(), curve.size(), distance)); }

py::tuple candidates(const Rows &curve, int64_t distance, int64_t cell, int64_t cells, int64_t rr_cells,
                     int64_t height_cells, int64_t height_every, int64_t noise_cells, float lowest,
                     float lowest_floor) {
  require(cell > 0 && cells > 0 && (cells - 1) * cell < curve.size(), "cells lie beyond the curve");
  require(rr_cells % 2 == 1 && height_cells > 0 && height_every > 0 && noise_cells > 0, "sizes must be positive");
  const Search search{distance, cell, cells, rr_cells, height_cells, height_every, noise_cells, lowest, lowest_floor};
  const Candidates found = find_candidates(kernels(), curve.data(), curve.size(), search);
  return py::make_tuple(array(found.place), array(found.height), array(found.clearness));
}

Array<double> intervals(const Indices &place, const Array<bool> &sure, int64_t window) {
  require(place.size() == sure.size() && window > 0, "sizes differ");
  int64_t beats = 0;
  for (int64_t i = 0; i < sure.size(); ++i) beats += sure.data()[i];
  require(beats > 1, "there must be two sure beats");
  Array<double> out({static_cast<int64_t>(place.size()), static_cast<int64_t>(3)});
  rhythm(kernels(), place.data(), sure.data(), place.size(), window, out.mutable_data());
  return out;
}

py::object lead_weights(const Rows &energy, int64_t high_rank, int64_t cell, int64_t cells, int64_t rr_cells,
                        int64_t height_cells, int64_t height_every, int64_t noise_cells, int64_t power, float tiny,
                        float largest_contrast) {
  const Shape shape(energy);
  require(cell > 0 && cells > 0 && (cells - 1) * cell < shape.n && high_rank >= 0 && high_rank < shape.n,
          "cells lie beyond the rows");
  require(rr_cells % 2 == 1 && height_cells > 0 && height_every > 0 && noise_cells > 0 && power > 0, "sizes");
  const Weighing weighing{high_rank,    cell,        cells, rr_cells, height_cells,
                          height_every, noise_cells, power, tiny,     largest_contrast};
  Rows contrast(shape.leads), height({shape.leads, cells}), weight({shape.leads, cells});
  if (!kernels().lead_weights(energy.data(), shape.leads, shape.n, weighing, contrast.mutable_data(),
                              height.mutable_data(), weight.mutable_data())) {
    return py::none();
  }
  return py::make_tuple(contrast, height, weight);
}

std::vector<float> odd_taps(const Rows &taps) {
  require(taps.ndim() == 2 && taps.shape(0) == 1 && taps.shape(1) % 2 == 1, "taps must be [1, odd]");
  return {taps.data(), taps.data() + taps.size()};
}

SearchPlan search_plan(const Rows &slope, const Rows &window, const Rows &shape, const py::dict &with) {
  auto whole = [&](const char *name) { return with[name].cast<int64_t>(); };
  auto number = [&](const char *name) { return with[name].cast<double>(); };
  auto single = [&](const char *name) { return static_cast<float>(number(name)); };
  const int64_t cell = whole("cell"), rr = whole("rr_cells"), tall = whole("height_cells"),
                every = whole("height_every"), quiet = whole("noise_cells"), power = whole("power");
  require(cell > 0 && rr > 0 && rr % 2 == 1 && tall > 0 && every > 0 && quiet > 0 && power > 0, "sizes");
  const double share = number("high_share");
  require(share >= 0.0 && share < 1.0, "the share must be in [0, 1)");
  const Weighing weighing{0, cell, 0, rr, tall, every, quiet, power, single("tiny"), single("largest_contrast")};
  const Search search{whole("distance"), cell, 0, rr, tall, every, quiet, single("lowest"), single("lowest_floor")};
  const int64_t half = whole("half"), lag = whole("lag"), chunk = whole("chunk"), near = whole("neighbours");
  require(half >= 0 && lag >= 0 && 2 * lag < 8 && chunk > 0 && near > 0, "at most eight lags");
  const auto ranks = with["ranks"].cast<std::vector<int64_t>>();
  for (const int64_t rank : ranks) require(rank >= 0, "ranks start from 0");
  return {odd_taps(slope),
          odd_taps(window),
          odd_taps(shape),
          weighing,
          share,
          single("largest"),
          search,
          single("likely"),
          half,
          lag,
          chunk,
          near,
          ranks,
          single("unknown")};
}

py::object search(const SearchPlan &plan, const Rows &rows) {
  const Shape shape(rows);
  Evidence found;
  if (!search_beats(kernels(), plan, rows.data(), shape.leads, shape.n, found)) return py::none();
  const int64_t count = static_cast<int64_t>(found.candidates.place.size());
  Rows similar({count, static_cast<int64_t>(plan.ranks.size())}), weight({shape.leads, count});
  std::copy(found.similar.begin(), found.similar.end(), similar.mutable_data());
  std::copy(found.weight.begin(), found.weight.end(), weight.mutable_data());
  return py::make_tuple(array(found.candidates.place), array(found.candidates.height),
                        array(found.candidates.clearness), similar, weight, found.contrast);
}

// Windows [leads, windows, size] and a weight for each of a lead.
void check_windows(const Rows &windows, const Rows &weight) {
  require(windows.ndim() == 3 && windows.size() > 0 && weight.ndim() == 2 && weight.shape(0) == windows.shape(0) &&
              weight.shape(1) == windows.shape(1),
          "shapes differ");
}

Indices strongest(const Rows &windows, const Rows &weight) {
  check_windows(windows, weight);
  Indices place(windows.shape(1));
  kernels().strongest(windows.data(), windows.shape(0), windows.shape(1), windows.shape(2), weight.data(),
                      place.mutable_data());
  return place;
}

Rows pieces(const Rows &windows, const Indices &likely, const Rows &weight) {
  check_windows(windows, weight);
  require(likely.size() > 0, "nothing is likely");
  for (int64_t i = 0; i < likely.size(); ++i) {
    require(likely.data()[i] >= 0 && likely.data()[i] < windows.shape(1), "no such window");
  }
  Rows out({windows.shape(1), windows.shape(0), windows.shape(2)});
  kernels().pieces(windows.data(), windows.shape(0), windows.shape(1), windows.shape(2), likely.data(), likely.size(),
                   weight.data(), out.mutable_data());
  return out;
}

Rows correlate(const Rows &mine, const Rows &theirs, const Indices &own, int64_t size, const Indices &ranks,
               float unknown) {
  require(mine.ndim() == 3 && theirs.ndim() == 3 && mine.shape(1) == theirs.shape(1) &&
              mine.shape(2) == theirs.shape(2) && own.size() == theirs.shape(0),
          "pieces must be [count, leads, width]");
  const int64_t width = mine.shape(2);
  require(size > 0 && size <= width && width - size < 8, "at most eight lags");
  for (int64_t i = 0; i < ranks.size(); ++i) require(ranks.data()[i] >= 0, "ranks start from 0");
  const Pieces both{mine.data(),     theirs.data(), own.data(), ranks.data(), mine.shape(0),
                    theirs.shape(0), mine.shape(1), width,      size,         static_cast<int64_t>(ranks.size())};
  Rows out({mine.shape(0), static_cast<int64_t>(ranks.size())});
  kernels().correlate(both, unknown, out.mutable_data());
  return out;
}

py::tuple cut(const Rows &rows, const Indices &place, int64_t slots, int64_t samples, float flat) {
  const Shape shape(rows);
  require(slots > 0 && samples > 0, "slots and samples must be positive");
  int64_t last = -1;
  for (int64_t i = 0; i < place.size(); ++i) {
    require(place.data()[i] > last && place.data()[i] < shape.n, "beats must increase inside the rows");
    last = place.data()[i];
  }
  const Beats beats{place.data(), static_cast<int64_t>(place.size()), slots, samples};
  Rows tokens({shape.leads, slots, samples});
  Array<bool> valid({shape.leads, slots});
  kernels().cut(rows.data(), shape.leads, shape.n, beats, flat, tokens.mutable_data(), valid.mutable_data());
  return py::make_tuple(tokens, valid);
}

Array<int16_t> quantise(const Rows &rows, int64_t used, const Rows &gain) {
  const Shape shape(rows);
  require(gain.size() == shape.leads && used >= 0 && used <= shape.n, "sizes differ");
  Array<int16_t> out({used, shape.leads});
  kernels().quantise(rows.data(), shape.leads, shape.n, used, gain.data(), out.mutable_data());
  return out;
}

} // namespace

PYBIND11_MODULE(_signal, m) {
  m.doc() = "Kernels of the preparation of records; each gives the bits of its twin in NumPy.";
  m.def("isa", [] { return kernels().name; });
  m.def("isas", &isas);
  m.def("filter", &filter);
  m.def("filter_around", &filter_around);
  m.def("decode", &decode);
  m.def("range", &range);
  m.def("lead_facts", &lead_facts);
  m.def("ranked", &ranked);
  m.def("running_median", &running_median);
  m.def("running_maximum", &running_maximum);
  m.def("cell_extremes", &cell_extremes);
  m.def("weighed_sum", &weighed_sum);
  m.def("spaced_peaks", &peaks);
  m.def("candidates", &candidates);
  m.def("rhythm", &intervals);
  m.def("lead_weights", &lead_weights);
  py::class_<SearchPlan>(m, "SearchPlan").def(py::init(&search_plan)).def("__call__", &search);
  m.def("strongest", &strongest);
  m.def("pieces", &pieces);
  m.def("correlate", &correlate);
  m.def("cut", &cut);
  m.def("quantise", &quantise);
}
