// exp and log over arrays: polynomials after Moshier's Cephes for float, libm for double.
#pragma once

#include "vec.h"

namespace clear_kernels {
namespace CK_ISA {

// exp(r) for |r| <= ln(2) / 2
CK_INLINE Vec<float> exp_polynomial(Vec<float> r) {
  Vec<float> y = splat(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  return y * (r * r) + r + 1.0f;
}

#if defined(__AVX512F__) && CK_VECTOR_BYTES == 64
// exp(x) for x <= 88; below -87.3 the result is exactly 0; NaN stays NaN.
CK_INLINE Vec<float> vexp(Vec<float> x) {
  const __m512 n = _mm512_roundscale_ps(x * 1.44269504088896341f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const Vec<float> r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  const Vec<float> y = exp_polynomial(r);
  // "Not less than" keeps NaN.
  return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, splat(-87.3f), _CMP_NLT_UQ), y, n);
}
#else
// exp(x) for x <= 88; below -87.3 the result is exactly 0; NaN stays NaN.
CK_INLINE Vec<float> vexp(Vec<float> x) {
  using Int = Simd<float>::Int;
  const Vec<float> magic = splat(12582912.0f); // 1.5 * 2^23: adding it rounds to the nearest integer
  const Vec<float> shifted = x * 1.44269504088896341f + magic;
  const Vec<float> n = shifted - magic;
  const Vec<float> r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  const Vec<float> y = exp_polynomial(r);
  const Int exponent = (reinterpret_cast<Int>(shifted) - 0x4B400000) << 23;
  const Vec<float> result = reinterpret_cast<Vec<float>>(reinterpret_cast<Int>(y) + exponent);
  return x < -87.3f ? Vec<float>{} : (x == x ? result : x);
}
#endif

CK_INLINE Vec<double> vexp(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = ::exp(x[i]);
  return x;
}

// log(x) for normal positive x; NaN stays NaN.
CK_INLINE Vec<float> vlog(Vec<float> x) {
  using Int = Simd<float>::Int;
  const Int bits = reinterpret_cast<Int>(x);
  Int exponent = (bits >> 23) - 126;
  const Vec<float> fraction = reinterpret_cast<Vec<float>>((bits & 0x007FFFFF) | 0x3F000000); // [0.5, 1)
  const Int small = fraction < 0.707106781186547524f;
  exponent += small; // a true lane is -1
  const Vec<float> m = (small ? fraction + fraction : fraction) - 1.0f;
  const Vec<float> e = __builtin_convertvector(exponent, Vec<float>);
  const Vec<float> z = m * m;
  Vec<float> y = splat(7.0376836292e-2f);
  y = y * m - 1.1514610310e-1f;
  y = y * m + 1.1676998740e-1f;
  y = y * m - 1.2420140846e-1f;
  y = y * m + 1.4249322787e-1f;
  y = y * m - 1.6668057665e-1f;
  y = y * m + 2.0000714765e-1f;
  y = y * m - 2.4999993993e-1f;
  y = y * m + 3.3333331174e-1f;
  y = y * m * z;
  y = y + e * -2.12194440e-4f - 0.5f * z;
  const Vec<float> result = m + y + e * 0.693359375f;
  return x == x ? result : x;
}

CK_INLINE Vec<double> vlog(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = ::log(x[i]);
  return x;
}

} // namespace CK_ISA
} // namespace clear_kernels
