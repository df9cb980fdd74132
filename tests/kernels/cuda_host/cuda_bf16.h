// Test-only stand-in for the CUDA header of the same name.
#pragma once

#include "half_bits.h"

struct __nv_bfloat16 {
  uint16_t bits;
};
struct __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline float __bfloat162float(__nv_bfloat16 x) { return emulation::bfloat16_value(x.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return {emulation::bfloat16_bits(x)}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high) {
  return {__float2bfloat16_rn(low), __float2bfloat16_rn(high)};
}
