// Element types and the arithmetic they are accumulated in.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace clear_cuda {

template <typename T> struct AccumulatorOf {
  using Type = float;
};
template <> struct AccumulatorOf<double> {
  using Type = double;
};
template <typename T> using Acc = typename AccumulatorOf<T>::Type;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

// Rounds to nearest even.
template <typename T> __device__ __forceinline__ T narrow(Acc<T> x) { return x; }
template <> __device__ __forceinline__ __half narrow<__half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }

// Two 16-bit elements in one register, the first in the low half.
template <typename T> __device__ __forceinline__ uint32_t pack2(float low, float high);
template <> __device__ __forceinline__ uint32_t pack2<__half>(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return reinterpret_cast<const uint32_t &>(pair);
}
template <> __device__ __forceinline__ uint32_t pack2<__nv_bfloat16>(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const uint32_t &>(pair);
}

template <typename T> __device__ __forceinline__ float2 unpack2(uint32_t pair);
template <> __device__ __forceinline__ float2 unpack2<__half>(uint32_t pair) {
  const __half2 x = reinterpret_cast<const __half2 &>(pair);
  return make_float2(__half2float(x.x), __half2float(x.y));
}
template <> __device__ __forceinline__ float2 unpack2<__nv_bfloat16>(uint32_t pair) {
  return make_float2(__int_as_float(static_cast<int>(pair << 16)),
                     __int_as_float(static_cast<int>(pair & 0xffff0000u)));
}

// A product that is rounded at once: fused into the next sum, a logit would differ between forward and backward.
__device__ __forceinline__ float product(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double product(double a, double b) { return __dmul_rn(a, b); }

template <typename A> __device__ __forceinline__ A infinity() { return static_cast<A>(__int_as_float(0x7f800000)); }

// NaN loses; it returns through the exponential.
__device__ __forceinline__ float larger(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ double larger(double a, double b) { return fmax(a, b); }

} // namespace clear_cuda
