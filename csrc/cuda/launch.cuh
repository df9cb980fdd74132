// Starting a kernel that takes one struct of arguments.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace clear_cuda {

constexpr int kStaticSharedLimit = 48 * 1024; // beyond it a kernel has to ask

template <typename Arguments>
cudaError_t launch(void (*kernel)(Arguments), int64_t blocks, int threads, int64_t shared_bytes, cudaStream_t stream,
                   const Arguments &arguments) {
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  if (shared_bytes > kStaticSharedLimit) {
    const cudaError_t status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (status != cudaSuccess) return status;
  }
  Arguments copy = arguments;
  void *pointers[] = {&copy};
  return cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)), pointers,
                          static_cast<size_t>(shared_bytes), stream);
}

} // namespace clear_cuda
