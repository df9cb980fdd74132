// Rows of any storage type as rows of the compute type (float, or double for double), padded with zeros to whole
// vectors.
#pragma once

#include "params.h"
#include "vec.h"

namespace clear_kernels {
namespace CK_ISA {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

template <class T> struct ComputeOf {
  using type = float;
};
template <> struct ComputeOf<double> {
  using type = double;
};
template <class T> using Compute = typename ComputeOf<T>::type;

CK_INLINE float bits_to_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
CK_INLINE uint32_t float_to_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

CK_INLINE float widen(float x) { return x; }
CK_INLINE double widen(double x) { return x; }
CK_INLINE float widen(BFloat16 x) { return bits_to_float(static_cast<uint32_t>(x.bits) << 16); }
CK_INLINE float widen(Float16 x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#else
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16;
  const uint32_t rest = x.bits & 0x7FFF;
  if (rest >= 0x7C00) return bits_to_float(sign | 0x7F800000 | (rest & 0x3FF) << 13);
  // Multiplying by 2^112 moves the exponent bias from 15 to 127, subnormals included.
  return bits_to_float(sign | float_to_bits(bits_to_float(rest << 13) * 0x1p112f));
#endif
}

CK_INLINE void narrow(float x, float &out) { out = x; }
CK_INLINE void narrow(double x, double &out) { out = x; }
CK_INLINE void narrow(float x, BFloat16 &out) {
  const uint32_t bits = float_to_bits(x);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16; // to nearest, ties to even
  out.bits = x == x ? static_cast<uint16_t>(rounded) : static_cast<uint16_t>((bits >> 16) | 0x40);
}
CK_INLINE void narrow(float x, Float16 &out) {
#if defined(__F16C__)
  out.bits = static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT));
#else
  const uint32_t bits = float_to_bits(x);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t rest = bits & 0x7FFFFFFF;
  uint32_t half;
  if (rest > 0x7F800000) {
    half = 0x7E00 | (rest >> 13 & 0x3FF);
  } else if (rest >= 0x477FF000) { // rounds to 2^16 or more
    half = 0x7C00;
  } else if (rest < 0x38800000) { // subnormal half: let the float adder round at 2^-24
    half = float_to_bits(bits_to_float(rest) + 0.5f) - 0x3F000000;
  } else {
    half = (rest - 0x38000000 + 0xFFF + (rest >> 13 & 1)) >> 13;
  }
  out.bits = static_cast<uint16_t>(sign | half);
#endif
}

template <class T> CK_INLINE void widen_row(const T *from, int64_t dim, int64_t width, Compute<T> *to) {
  int64_t d = 0;
  for (; d < dim; ++d) to[d] = widen(from[d]);
  for (; d < width; ++d) to[d] = 0;
}

template <class T> CK_INLINE void narrow_row(const Compute<T> *from, int64_t dim, T *to) {
  for (int64_t d = 0; d < dim; ++d) narrow(from[d], to[d]);
}

#if defined(__F16C__)
template <> CK_INLINE void widen_row<Float16>(const Float16 *from, int64_t dim, int64_t width, float *to) {
  int64_t d = 0;
  for (; d + 8 <= dim; d += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + d));
    _mm256_storeu_ps(to + d, _mm256_cvtph_ps(half));
  }
  for (; d < dim; ++d) to[d] = widen(from[d]);
  for (; d < width; ++d) to[d] = 0;
}

template <> CK_INLINE void narrow_row<Float16>(const float *from, int64_t dim, Float16 *to) {
  int64_t d = 0;
  for (; d + 8 <= dim; d += 8) {
    const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(from + d), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i *>(to + d), half);
  }
  for (; d < dim; ++d) narrow(from[d], to[d]);
}
#endif

} // namespace CK_ISA
} // namespace clear_kernels
