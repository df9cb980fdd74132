// How the leads of a recording agree: products of their QRS complexes, and the sizes of the limb leads.
#pragma once

#include <cmath>

#include "filter.h"
#include "kernels.h"
#include "lanes.h"
#include "select.h"

namespace clear_signal {
namespace CK_ISA {

// Sums of every so many samples, added up at last in order: the same on every instruction set.
constexpr int64_t kSums = 16;
typedef float Sums __attribute__((vector_size(4 * kSums)));
typedef float LooseSums __attribute__((vector_size(4 * kSums), aligned(4), may_alias));

// Products [leads][leads] of rows of a width that is a multiple of kSums.
inline void row_products(const float *rows, int64_t leads, int64_t width, double *products) {
  auto at = [&](int64_t lead, int64_t k) -> const LooseSums & {
    return *reinterpret_cast<const LooseSums *>(rows + lead * width + k);
  };
  auto put = [&](int64_t i, int64_t j, const Sums &sums) {
    double total = 0.0;
    for (int s = 0; s < kSums; ++s) total += static_cast<double>(sums[s]);
    products[i * leads + j] = products[j * leads + i] = total;
  };
  for (int64_t i = 0; i < leads; ++i) {
    int64_t j = 0;
    for (; j + 2 <= i + 1; j += 2) { // two at a time, so that additions do not wait for each other
      Sums one = {}, other = {};
      for (int64_t k = 0; k < width; k += kSums) {
        const Sums mine = at(i, k);
        one += mine * at(j, k);
        other += mine * at(j + 1, k);
      }
      put(i, j, one);
      put(i, j + 1, other);
    }
    for (; j <= i; ++j) {
      Sums one = {};
      for (int64_t k = 0; k < width; k += kSums) one += at(i, k) * at(j, k);
      put(i, j, one);
    }
  }
}

// Root of the sum of squares about the mean of II, of I + III, and of the difference of both.
inline void limb_sizes(const float *one, const float *two, const float *three, int64_t n, double *sizes) {
  constexpr int64_t kDoubles = kSums / 2;
  double sum[3][kDoubles] = {}, square[3][kDoubles] = {};
  auto add = [&](int64_t s, int64_t i) {
    const double outer = static_cast<double>(one[i]) + static_cast<double>(three[i]), middle = two[i];
    const double of[3] = {middle, outer, outer - middle};
    for (int x = 0; x < 3; ++x) {
      sum[x][s] += of[x];
      square[x][s] += of[x] * of[x];
    }
  };
  int64_t i = 0;
  for (; i + kDoubles <= n; i += kDoubles) {
    for (int64_t s = 0; s < kDoubles; ++s) add(s, i + s);
  }
  for (int64_t s = 0; i + s < n; ++s) add(s, i + s);
  for (int x = 0; x < 3; ++x) {
    double total = 0.0, squares = 0.0;
    for (int64_t s = 0; s < kDoubles; ++s) {
      total += sum[x][s];
      squares += square[x][s];
    }
    const double about = squares - total * total / static_cast<double>(n);
    sizes[x] = std::sqrt(about > 0.0 ? about : 0.0);
  }
}

// See lead_comparison.py. limb: the places of I, II and III, or null.
inline void compare_leads(const Filter &qrs_filter, const float *rows, int64_t leads, int64_t n, const int64_t *limb,
                          int64_t left_out, double *products, float *spans, double *sizes) {
  const int64_t width = (n + kSums - 1) / kSums * kSums;
  const RowFilter qrs_of(qrs_filter, Ends::kLine, n);
  Scratch<float> qrs(leads * width);
  for (int64_t lead = 0; lead < leads; ++lead) {
    float *to = qrs.get() + lead * width;
    qrs_of(rows + lead * n, to);
    for (int64_t i = n; i < width; ++i) to[i] = 0.0f;
  }
  row_products(qrs.get(), leads, width, products);
  if (limb == nullptr) return;
  Scratch<int32_t> keys(n);
  for (int x = 0; x < 3; ++x) {
    int32_t least, most;
    keys_of(qrs.get() + limb[x] * width, n, keys.get(), least, most);
    const int32_t size = static_cast<int32_t>(n), out = static_cast<int32_t>(left_out);
    const float low = number_of(ranked_key(keys.get(), size, out, least, most));
    spans[x] = number_of(ranked_key(keys.get(), size, size - 1 - out, least, most)) - low;
  }
  limb_sizes(rows + limb[0] * n, rows + limb[1] * n, rows + limb[2] * n, n, sizes);
}

} // namespace CK_ISA
} // namespace clear_signal
