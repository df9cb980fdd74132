// Test-only stand-in for the CUDA header of the same name.
#pragma once

#include "half_bits.h"

struct __half {
  uint16_t bits;
};
struct __half2 {
  __half x, y;
};
inline float __half2float(__half x) { return emulation::half_value(x.bits); }
inline __half __float2half_rn(float x) { return {emulation::half_bits(x)}; }
inline __half2 __floats2half2_rn(float low, float high) { return {__float2half_rn(low), __float2half_rn(high)}; }
