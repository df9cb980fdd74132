// From a file to leads that were looked at, and to the integers that are stored.
#include "bindings.h"

#include <string>
#include <string_view>

#include "header.h"

namespace clear_signal {
namespace {

py::str text(std::string_view part) { return {part.data(), part.size()}; }

double number(std::string_view part) {
  const double value = PyOS_string_to_double(std::string(part).c_str(), nullptr, nullptr); // as float() reads it
  if (PyErr_Occurred()) throw py::error_already_set();
  return value;
}

// Rate, samples, file, offset, signals as (name, units, gain, whether it is given, baseline), checksums, comments.
py::object plain_header(const py::bytes &held) {
  PlainHeader header;
  if (!parse_plain_header(held, header)) return py::none();
  const double rate = number(header.rate);
  if (!(rate > 0.0 && rate < 1e6)) return py::none();
  const size_t count = header.signals.size();
  py::tuple signals(count), comments(header.comments.size());
  Indices checksums(static_cast<int64_t>(count));
  for (size_t i = 0; i < count; ++i) {
    const PlainSignal &signal = header.signals[i];
    const std::string_view units = signal.units.empty() ? "mV" : signal.units;
    signals[i] = py::make_tuple(text(signal.name), text(units), number(signal.gain), true, signal.baseline);
    checksums.mutable_data()[i] = signal.checksum;
  }
  for (size_t i = 0; i < header.comments.size(); ++i) comments[i] = text(header.comments[i]);
  return py::make_tuple(rate, header.samples, text(header.file), header.byte_offset, signals, checksums, comments);
}

py::tuple decode(const py::bytes &held, int64_t columns, const Indices &picked, const Array<double> &baseline,
                 const Array<double> &gain, const Array<double> &unit, bool single) {
  const std::string_view bytes = held;
  const int64_t leads = picked.size(), n = columns > 0 ? static_cast<int64_t>(bytes.size()) / (2 * columns) : 0;
  require(n > 0 && baseline.size() == leads && gain.size() == leads && unit.size() == leads, "sizes differ");
  for (int64_t i = 0; i < leads; ++i) require(picked.data()[i] >= 0 && picked.data()[i] < columns, "no such column");
  const auto *counts = reinterpret_cast<const int16_t *>(bytes.data());
  Array<int32_t> sums(leads);
  auto decode_to = [&](auto &&out) -> py::tuple {
    kernels().decode(counts, columns, picked.data(), leads, n, baseline.data(), gain.data(), unit.data(), single,
                     out.mutable_data(), sums.mutable_data());
    return py::make_tuple(out, sums);
  };
  return single ? decode_to(Rows({leads, n})) : decode_to(Array<double>({leads, n}));
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

py::tuple compare_leads(const Rows &rows, const Rows &taps, const Indices &limb, int64_t left_out) {
  const Shape shape(rows);
  require((limb.size() == 0 || limb.size() == 3) && left_out >= 0 && 2 * left_out < shape.n, "sizes");
  for (int64_t i = 0; i < limb.size(); ++i) {
    require(limb.data()[i] >= 0 && limb.data()[i] < shape.leads, "no such lead");
  }
  const Filter qrs_filter = same_rate(taps);
  const int64_t *places = limb.size() > 0 ? limb.data() : nullptr;
  Array<double> products({shape.leads, shape.leads}), sizes(limb.size());
  Rows spans(limb.size());
  kernels().compare_leads(qrs_filter, rows.data(), shape.leads, shape.n, places, left_out, products.mutable_data(),
                          spans.mutable_data(), sizes.mutable_data());
  return py::make_tuple(products, spans, sizes);
}

py::tuple quantise(const Rows &rows) {
  const Shape shape(rows);
  Array<int16_t> out({shape.n, shape.leads});
  Rows gain(shape.leads);
  kernels().quantise(rows.data(), shape.leads, shape.n, out.mutable_data(), gain.mutable_data());
  return py::make_tuple(out, gain);
}

} // namespace

void bind_leads(py::module_ &m) {
  m.def("plain_header", &plain_header);
  m.def("decode", &decode);
  m.def("range", &range);
  m.def("lead_facts", &lead_facts);
  m.def("compare_leads", &compare_leads);
  m.def("quantise", &quantise);
}

} // namespace clear_signal
