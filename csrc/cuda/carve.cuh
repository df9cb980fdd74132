// Shared memory cut into arrays. The same cut counts bytes on the host and gives pointers on the device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace clear_cuda {

// Pointers come from `base` by pointer arithmetic alone: that lets the compiler see that they are in shared memory,
// where addresses have 32 bits and loads and stores instructions of their own.
struct Carver {
  unsigned char *base;
  int64_t used = 0;

  // For counting bytes: nothing is there.
  static Carver nowhere() { return {reinterpret_cast<unsigned char *>(uintptr_t{16})}; }

  // Every array starts on a 16-byte boundary.
  template <typename T> __host__ __device__ T *take(int64_t count) {
    T *array = reinterpret_cast<T *>(base + used);
    used += (count * static_cast<int64_t>(sizeof(T)) + 15) / 16 * 16;
    return array;
  }
};

} // namespace clear_cuda
