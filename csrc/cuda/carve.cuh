// Shared memory cut into arrays. The same cut counts bytes on the host (base null) and gives pointers on the device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace clear_cuda {

struct Carver {
  void *base;
  int64_t used = 0;

  // Every array starts on a 16-byte boundary.
  template <typename T> __host__ __device__ T *take(int64_t count) {
    T *array = reinterpret_cast<T *>(reinterpret_cast<uintptr_t>(base) + static_cast<uintptr_t>(used));
    used += (count * static_cast<int64_t>(sizeof(T)) + 15) / 16 * 16;
    return array;
  }
};

} // namespace clear_cuda
