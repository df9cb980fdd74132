// From leads to beats and their tokens.
#include "bindings.h"

#include <algorithm>
#include <string>

#include "candidates.h"
#include "search.h"

namespace clear_signal {
namespace {

template <class X> Array<X> array(const std::vector<X> &values) {
  return Array<X>(static_cast<int64_t>(values.size()), values.data());
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
  const Filter filter = same_rate(taps);
  return {filter.taps, filter.taps + taps.size()};
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

// The strongest places within `reach` of the rough ones, of filtered rows that go on with their outermost samples; in
// order, none twice.
Indices locate(const Rows &rows, const Rows &taps, const Indices &rough, int64_t reach, const Rows &weight) {
  const Shape shape(rows);
  const int64_t beats = rough.size(), size = 2 * reach + 1;
  require(beats > 0 && reach >= 0 && weight.ndim() == 2 && weight.shape(0) == shape.leads && weight.shape(1) == beats,
          "shapes differ");
  std::vector<int64_t> starts(rough.data(), rough.data() + beats);
  for (int64_t &start : starts) start -= reach;
  std::vector<float> windows(shape.leads * beats * size);
  const Filter filter = same_rate(taps);
  kernels().filter_around(filter, Ends::kHold, rows.data(), shape.leads, shape.n, starts.data(), beats, size,
                          windows.data());
  Indices place(beats);
  kernels().strongest(windows.data(), shape.leads, beats, size, weight.data(), place.mutable_data());
  for (int64_t b = 0; b < beats; ++b) {
    starts[b] = std::min(std::max<int64_t>(starts[b] + place.data()[b], 0), shape.n - 1);
  }
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  return array(starts);
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

py::tuple cut(const Rows &rows, const Indices &place, int64_t slots, int64_t samples, float flat, double fs) {
  const Shape shape(rows);
  require(slots > 0 && samples > 0 && fs > 0.0, "slots, samples and rate must be positive");
  int64_t last = -1;
  for (int64_t i = 0; i < place.size(); ++i) {
    require(place.data()[i] > last && place.data()[i] < shape.n, "beats must increase inside the rows");
    last = place.data()[i];
  }
  const Beats beats{place.data(), static_cast<int64_t>(place.size()), slots, samples};
  Rows tokens({shape.leads, slots, samples});
  Array<bool> valid({shape.leads, slots});
  Array<int32_t> seconds(slots), kept(slots);
  const Grid grid{tokens.mutable_data(), valid.mutable_data(), seconds.mutable_data(), kept.mutable_data()};
  kernels().cut(rows.data(), shape.leads, shape.n, beats, flat, fs, grid);
  return py::make_tuple(tokens, valid, seconds, kept);
}

// Rows `row` of a store to rows `target` of `tokens`; their samples lie in one shard.
void cut_stored(const Array<int16_t> &samples, int64_t base, const Indices &begin, const Indices &end, const Rows &gain,
                const Array<int32_t> &place, const Array<bool> &valid, const Indices &row, const Indices &target,
                py::array_t<float> tokens) {
  require(samples.ndim() == 2 && tokens.ndim() == 4 && (tokens.flags() & py::array::c_style), "[..][leads] to tokens");
  const int64_t all = begin.size(), count = row.size();
  const int64_t leads = tokens.shape(1), slots = tokens.shape(2), width = tokens.shape(3);
  require(samples.shape(1) == leads && end.size() == all && target.size() == count && gain.ndim() == 2 &&
              gain.shape(0) == all && gain.shape(1) == leads && place.ndim() == 2 && place.shape(0) == all &&
              place.shape(1) == slots && valid.ndim() == 3 && valid.shape(0) == all && valid.shape(1) == leads &&
              valid.shape(2) == slots,
          "shapes differ");
  for (int64_t b = 0; b < count; ++b) {
    const int64_t record = row.data()[b];
    require(record >= 0 && record < all && target.data()[b] >= 0 && target.data()[b] < tokens.shape(0), "no such row");
    const int64_t first = begin.data()[record], last = end.data()[record];
    require(base <= first && first <= last && last - base <= samples.shape(0), "a recording beyond its shard");
  }
  const Stored stored{samples.data(), begin.data(), end.data(), gain.data(), place.data(), valid.data(), row.data(),
                      target.data(),  base,         count,      leads,       slots,        width};
  kernels().cut_stored(stored, tokens.mutable_data());
}

} // namespace

void bind_beats(py::module_ &m) {
  m.def("weighed_sum", &weighed_sum);
  m.def("spaced_peaks", &peaks);
  m.def("candidates", &candidates);
  m.def("rhythm", &intervals);
  m.def("lead_weights", &lead_weights);
  py::class_<SearchPlan>(m, "SearchPlan").def(py::init(&search_plan)).def("__call__", &search);
  m.def("strongest", &strongest);
  m.def("locate", &locate);
  m.def("pieces", &pieces);
  m.def("correlate", &correlate);
  m.def("cut", &cut);
  m.def("cut_stored", &cut_stored, py::arg(), py::arg(), py::arg(), py::arg(), py::arg(), py::arg(), py::arg(),
        py::arg(), py::arg(), py::arg().noconvert()); // the last one is written to, so no copy will do
}

} // namespace clear_signal
