// SIMD vectors of the instruction set this translation unit is compiled for. Everything lives in a namespace of that
// instruction set, so that the linker can never mix two variants of one inline function.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef CK_ISA
#error "compile with -DCK_ISA=<generic|avx2|avx512>"
#endif

#define CK_INLINE inline __attribute__((always_inline))

namespace clear_kernels {
namespace CK_ISA {

#ifndef CK_VECTOR_BYTES
#if defined(__AVX512F__)
#define CK_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define CK_VECTOR_BYTES 32
#else
#define CK_VECTOR_BYTES 16
#endif
#endif

template <class C> struct Simd;

template <> struct Simd<float> {
  typedef float Vec __attribute__((vector_size(CK_VECTOR_BYTES)));
  typedef float Loose __attribute__((vector_size(CK_VECTOR_BYTES), aligned(4), may_alias));
  typedef int32_t Int __attribute__((vector_size(CK_VECTOR_BYTES)));
};

template <> struct Simd<double> {
  typedef double Vec __attribute__((vector_size(CK_VECTOR_BYTES)));
  typedef double Loose __attribute__((vector_size(CK_VECTOR_BYTES), aligned(8), may_alias));
  typedef int64_t Int __attribute__((vector_size(CK_VECTOR_BYTES)));
};

template <class C> using Vec = typename Simd<C>::Vec;
template <class C> constexpr int kLanes = CK_VECTOR_BYTES / static_cast<int>(sizeof(C));

template <class C> CK_INLINE Vec<C> load(const C *p) { return *reinterpret_cast<const typename Simd<C>::Loose *>(p); }
template <class C> CK_INLINE void store(C *p, Vec<C> v) { *reinterpret_cast<typename Simd<C>::Loose *>(p) = v; }
// Stores past the caches, which spares the memory bus from reading the line first. Aligned to whole vectors.
template <class C> CK_INLINE void stream(C *p, Vec<C> v) {
#if defined(__AVX512F__) && CK_VECTOR_BYTES == 64
  _mm512_stream_ps(reinterpret_cast<float *>(p), reinterpret_cast<__m512>(v));
#elif defined(__AVX2__) && CK_VECTOR_BYTES == 32
  _mm256_stream_ps(reinterpret_cast<float *>(p), reinterpret_cast<__m256>(v));
#else
  store(p, v);
#endif
}
// Makes streamed stores visible before any later store.
CK_INLINE void finish_streams() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}
template <class C> CK_INLINE Vec<C> splat(C x) { return x - Vec<C>{}; } // x - 0 is x for every x: a plain broadcast
template <class C> CK_INLINE Vec<C> vmax(Vec<C> a, Vec<C> b) { return a > b ? a : b; }

template <class C> CK_INLINE C reduce_add(Vec<C> v) {
  C sum = v[0];
  for (int i = 1; i < kLanes<C>; ++i) sum += v[i];
  return sum;
}
// out[i] = sum of the lanes of v[i], for four vectors at once.
template <class C> CK_INLINE void reduce_add4(const Vec<C> *v, C *out) {
  for (int i = 0; i < 4; ++i) out[i] = reduce_add<C>(v[i]);
}

#if defined(__x86_64__)
CK_INLINE __m128 transpose_add(__m128 a, __m128 b, __m128 c, __m128 d) {
  const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)); // a02 b02 a13 b13
  const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
  return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}
#if CK_VECTOR_BYTES == 16
template <> CK_INLINE void reduce_add4<float>(const Vec<float> *v, float *out) {
  _mm_storeu_ps(out, transpose_add(v[0], v[1], v[2], v[3]));
}
#elif CK_VECTOR_BYTES == 32 && defined(__AVX2__)
CK_INLINE __m256 transpose_add(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  return _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
}
template <> CK_INLINE void reduce_add4<float>(const Vec<float> *v, float *out) {
  const __m256 both = transpose_add(v[0], v[1], v[2], v[3]);
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1)));
}
#elif CK_VECTOR_BYTES == 64 && defined(__AVX512F__)
CK_INLINE __m512 transpose_add(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
}
template <> CK_INLINE void reduce_add4<float>(const Vec<float> *v, float *out) {
  const __m512 all = transpose_add(v[0], v[1], v[2], v[3]);
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
#endif
#endif

// Queries are padded to whole vectors, and to the four columns that dots() writes at a time. What the padding lanes
// hold is never used, but computed with: it has to stay an ordinary number, since denormal ones are slow.
template <class C> constexpr int kPad = kLanes<C> > 4 ? kLanes<C> : 4;
template <class C> CK_INLINE int64_t round_up(int64_t n) { return (n + kPad<C> - 1) / kPad<C> * kPad<C>; }

// Elements of a row padded to whole vectors: VECTORS of them, or only known at run time where VECTORS is 0.
template <class C, int VECTORS> struct Width {
  int64_t elements;
  CK_INLINE constexpr operator int64_t() const { return VECTORS > 0 ? VECTORS * kLanes<C> : elements; }
};

// Bytes of per-thread scratch, handed out in cache-line steps. With a null base it only counts.
class Arena {
public:
  explicit Arena(void *base) : base_(static_cast<char *>(base)) {}
  template <class X> X *take(int64_t count) {
    char *at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (static_cast<size_t>(count) * sizeof(X) + 63) / 64 * 64;
    return reinterpret_cast<X *>(at);
  }
  size_t used() const { return used_; }

private:
  char *base_;
  size_t used_ = 0;
};

} // namespace CK_ISA
} // namespace clear_kernels
