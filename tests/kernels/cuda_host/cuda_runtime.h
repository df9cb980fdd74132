// Test-only stand-in for the CUDA runtime header: lets a C++ compiler build the kernels' own source, see fibers.h.
#pragma once

#include <cmath>
#include <cstring>
#include <map>

#include "fibers.h"

#define CLEAR_HOST_EMULATION 1
#define __global__
#define __grid_constant__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define threadIdx (::emulation::self().index)
#define blockIdx (::emulation::block_index())

using cudaStream_t = void *;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorUnknown = 999
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct alignas(8) uint2 {
  unsigned x, y;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

struct dim3 {
  unsigned x, y = 1, z = 1;
  explicit dim3(unsigned x_) : x(x_) {}
};

namespace emulation {
inline std::map<const void *, size_t> &granted_shared_memory() {
  static std::map<const void *, size_t> granted;
  return granted;
}
} // namespace emulation

inline cudaError_t cudaGetDevice(int *index) { return *index = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
  const emulation::Device &device = emulation::device();
  const int values[] = {device.multiprocessors, device.shared_per_block, device.shared_per_multiprocessor};
  return *value = values[attribute], cudaSuccess;
}
template <typename Kernel> cudaError_t cudaFuncSetAttribute(Kernel *kernel, cudaFuncAttribute, int bytes) {
  if (bytes > emulation::device().shared_per_block) return cudaErrorInvalidValue;
  emulation::granted_shared_memory()[reinterpret_cast<const void *>(kernel)] = static_cast<size_t>(bytes);
  return cudaSuccess;
}
template <typename Arguments>
cudaError_t cudaLaunchKernel(void (*kernel)(Arguments), dim3 blocks, dim3 threads, void **pointers, size_t shared,
                             cudaStream_t) {
  const auto granted = emulation::granted_shared_memory().find(reinterpret_cast<const void *>(kernel));
  const size_t limit = granted == emulation::granted_shared_memory().end() ? 48 * 1024 : granted->second;
  if (shared > limit || threads.x > 1024) return cudaErrorInvalidValue;
  const Arguments &arguments = *static_cast<Arguments *>(pointers[0]);
  return emulation::run_grid(blocks.x, threads.x, shared, [&] { kernel(arguments); }) ? cudaSuccess : cudaErrorUnknown;
}

// The place of a barrier is that of the call.
#define EMULATION_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMULATION_SITE) { emulation::block_barrier({file, line}); }
inline void __syncwarp(EMULATION_SITE) { emulation::warp_barrier({file, line}); }
template <typename T> T __shfl_sync(unsigned, T value, int source, EMULATION_SITE) {
  return emulation::warp_collective(emulation::Site{file, line}, value, [&](auto lane) { return lane(source & 31); });
}
template <typename T> T __shfl_xor_sync(unsigned, T value, int mask, EMULATION_SITE) {
  const int lane_id = static_cast<int>(emulation::self().index.x % 32);
  return __shfl_sync(0u, value, lane_id ^ mask, file, line);
}
template <typename T> T __shfl_up_sync(unsigned, T value, int step, EMULATION_SITE) {
  const int lane_id = static_cast<int>(emulation::self().index.x % 32);
  return __shfl_sync(0u, value, lane_id < step ? lane_id : lane_id - step, file, line);
}
inline unsigned __ballot_sync(unsigned, bool predicate, EMULATION_SITE) {
  return emulation::warp_collective(emulation::Site{file, line}, predicate, [](auto lane) {
    unsigned bits = 0;
    for (int i = 0; i < 32; ++i) bits |= lane(i) ? 1u << i : 0u;
    return bits;
  });
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<uint64_t>(a) * static_cast<uint64_t>(b)) >> 32);
}
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float __int_as_float(int bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
