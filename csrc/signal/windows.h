// Windows around beats, each lead in units of its usual deflection.
#pragma once

#include <cmath>

#include "kernels.h"
#include "lanes.h"
#include "select.h"

namespace clear_signal {
namespace CK_ISA {

// The median of the largest sizes in some of the windows [windows][size] of a lead; infinity where that is nothing.
CK_INLINE float usual_size(const float *lead, const int64_t *which, int64_t count, int64_t size, float *sizes,
                           int32_t *keys) {
  for (int64_t w = 0; w < count; ++w) {
    const float *window = lead + which[w] * size;
    float most = 0.0f;
    for (int64_t i = 0; i < size; ++i) {
      const float x = window[i], large = x < 0.0f ? -x : x;
      most = large > most ? large : most;
    }
    sizes[w] = most;
  }
  const float usual = median(sizes, count, keys);
  return usual > 1e-6f ? usual : __builtin_inff();
}

// Where in each window the sum over leads of weight [leads][windows] times the square of the sample is largest.
inline void strongest(const float *windows, int64_t leads, int64_t count, int64_t size, const float *weight,
                      int64_t *place) {
  Scratch<float> sizes(count), total(count * size);
  Scratch<int64_t> all(count);
  Scratch<int32_t> keys(count);
  for (int64_t w = 0; w < count; ++w) all[w] = w;
  for (int64_t i = 0; i < count * size; ++i) total[i] = 0.0f;
  for (int64_t lead = 0; lead < leads; ++lead) {
    const float *from = windows + lead * count * size;
    const float usual = usual_size(from, all.get(), count, size, sizes.get(), keys.get());
    for (int64_t w = 0; w < count; ++w) {
      const float counts = weight[lead * count + w];
      float *to = total.get() + w * size;
      for (int64_t i = 0; i < size; ++i) {
        const float relative = from[w * size + i] / usual;
        to[i] += relative * relative * counts;
      }
    }
  }
  for (int64_t w = 0; w < count; ++w) {
    const float *sum = total.get() + w * size;
    int64_t best = 0;
    for (int64_t i = 1; i < size; ++i) best = sum[i] > sum[best] ? i : best;
    place[w] = best;
  }
}

// The windows as pieces [windows][leads][size], times the root of the weight; `likely` ones are the usual.
inline void pieces(const float *windows, int64_t leads, int64_t count, int64_t size, const int64_t *likely,
                   int64_t likely_count, const float *weight, float *out) {
  Scratch<float> sizes(likely_count);
  Scratch<int32_t> keys(likely_count);
  for (int64_t lead = 0; lead < leads; ++lead) {
    const float *from = windows + lead * count * size;
    const float usual = usual_size(from, likely, likely_count, size, sizes.get(), keys.get());
    for (int64_t w = 0; w < count; ++w) {
      const float scale = std::sqrt(weight[lead * count + w]) / usual;
      float *to = out + (w * leads + lead) * size;
      for (int64_t i = 0; i < size; ++i) to[i] = from[w * size + i] * scale;
    }
  }
}

} // namespace CK_ISA
} // namespace clear_signal
