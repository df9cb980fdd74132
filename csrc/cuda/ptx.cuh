// The instructions that C++ has no name for. On architectures that lack one, the same result by other means.
// The tests' host build replaces this file's contents, see tests/kernels/cuda_host.
#pragma once

#include "numeric.cuh"

#if defined(CLEAR_HOST_EMULATION)
#include "emulated_ptx.h"
#else

namespace clear_cuda {

__device__ __forceinline__ unsigned char *dynamic_shared() {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  return shared_bytes;
}

__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 2^x to 22 bits or so, and 0 where the result is subnormal.
__device__ __forceinline__ float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The logarithm to base 2 and the reciprocal, to 22 bits or so, of numbers that are not subnormal.
__device__ __forceinline__ float logarithm_of_two(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// An address `count` times `bytes` further on, by one instruction; left to itself the compiler multiplies in 64 bits.
template <typename T> __device__ __forceinline__ T *further(T *address, int count, int bytes) {
  asm("mad.wide.s32 %0, %1, %2, %0;" : "+l"(address) : "r"(count), "r"(bytes));
  return address;
}

// The same number, which stays in its register: left to itself the compiler computes what a loop needs in every turn.
__device__ __forceinline__ int held(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// Starts copying 16 bytes from global to shared memory; zeros, and no look at `global`, unless `there`. What else is in
// the same 256 bytes comes to the second cache with them: the next head's row, which a neighbouring block wants.
__device__ __forceinline__ void copy16(void *shared, const void *global, bool there) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(there ? 16 : 0)
               : "memory");
#else
  *static_cast<uint4 *>(shared) = there ? *static_cast<const uint4 *>(global) : make_uint4(0, 0, 0, 0);
#endif
}

// The same, or nothing at all unless `wanted`. A predicate, where a branch would keep copies from following each other.
__device__ __forceinline__ void copy16_if(bool wanted, void *shared, const void *global, bool there) {
#if __CUDA_ARCH__ >= 800
  asm volatile("{ .reg .pred wanted; setp.ne.b32 wanted, %3, 0; "
               "@wanted cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2; }" ::"r"(shared_address(shared)),
               "l"(global), "r"(there ? 16 : 0), "r"(static_cast<int>(wanted))
               : "memory");
#else
  if (wanted) copy16(shared, global, there);
#endif
}

// Closes a group of copies.
__device__ __forceinline__ void copy_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most the latest kPending groups of this thread are under way.
template <int kPending> __device__ __forceinline__ void copy_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// Four 8 x 8 matrices of 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8; lane 4 r + c receives
// elements 2 c and 2 c + 1 of row r of each matrix, or, transposed, elements r of rows 2 c and 2 c + 1.
__device__ __forceinline__ void load_matrices_at(uint32_t (&x)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed_at(uint32_t (&x)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_matrices(uint32_t (&x)[4], const void *row) {
  load_matrices_at(x, shared_address(row));
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&x)[4], const void *row) {
  load_matrices_transposed_at(x, shared_address(row));
}
// From addresses of which the bits of `swap` are exchanged.
__device__ __forceinline__ void load_matrices(uint32_t (&x)[4], const void *row, uint32_t swap) {
  load_matrices_at(x, shared_address(row) ^ swap);
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&x)[4], const void *row, uint32_t swap) {
  load_matrices_transposed_at(x, shared_address(row) ^ swap);
}

// The transpose of an 8 x 8 matrix of 16-bit elements, of which lane 4 r + c holds elements 2 c and 2 c + 1 of row r.
__device__ __forceinline__ uint32_t transpose_matrix(uint32_t x) {
  uint32_t y;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}

// c [16 x 8] += a [16 x 16] b [16 x 8], with c in float. Lane 4 r + t holds, of c: (r, 2 t), (r, 2 t + 1) and the same
// of row r + 8; of a: columns 2 t, 2 t + 1 of rows r and r + 8, then columns 2 t + 8, 2 t + 9 of the same rows; of b:
// rows 2 t, 2 t + 1, then rows 2 t + 8, 2 t + 9, of column r.
template <typename T>
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ __forceinline__ void multiply_add<__half>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[2 * step]), "r"(a[2 * step + 1]), "r"(step == 0 ? b0 : b1));
  }
#endif
}

#if __CUDA_ARCH__ < 800
// Turing's tensor cores do not know bfloat16: the lanes hand each other the operands. Slow, but the same result.
__device__ __noinline__ inline float4 multiply_add_by_shuffles(float4 c, uint4 a, uint2 b) {
  const int lane = static_cast<int>(threadIdx.x % 32u);
#pragma unroll 1
  for (int k = 0; k < 16; k += 2) {
    const int holder = k / 2 % 4;
    const uint32_t upper = __shfl_sync(0xffffffffu, k < 8 ? a.x : a.z, lane / 4 * 4 + holder);
    const uint32_t lower = __shfl_sync(0xffffffffu, k < 8 ? a.y : a.w, lane / 4 * 4 + holder);
    const uint32_t left = __shfl_sync(0xffffffffu, k < 8 ? b.x : b.y, lane % 4 * 8 + holder);
    const uint32_t right = __shfl_sync(0xffffffffu, k < 8 ? b.x : b.y, lane % 4 * 8 + 4 + holder);
    const auto low = [](uint32_t pair) { return __uint_as_float(pair << 16); };
    const auto high = [](uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); };
    c.x = fmaf(high(upper), high(left), fmaf(low(upper), low(left), c.x));
    c.y = fmaf(high(upper), high(right), fmaf(low(upper), low(right), c.y));
    c.z = fmaf(high(lower), high(left), fmaf(low(lower), low(left), c.z));
    c.w = fmaf(high(lower), high(right), fmaf(low(lower), low(right), c.w));
  }
  return c;
}
#endif

template <>
__device__ __forceinline__ void multiply_add<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                                            uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  const float4 sum = multiply_add_by_shuffles(make_float4(c[0], c[1], c[2], c[3]), make_uint4(a[0], a[1], a[2], a[3]),
                                              make_uint2(b0, b1));
  c[0] = sum.x;
  c[1] = sum.y;
  c[2] = sum.z;
  c[3] = sum.w;
#endif
}

} // namespace clear_cuda
#endif

namespace clear_cuda {

__device__ __forceinline__ float exponential(float x) { return power_of_two(x * 1.4426950408889634f); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
// Of x - base, in one multiply-add and the power.
__device__ __forceinline__ float exponential_from(float x, float base) {
  return power_of_two(fmaf(x, 1.4426950408889634f, -base * 1.4426950408889634f));
}
// Of a sum of weights, the largest of which is 1.
__device__ __forceinline__ float logarithm(float x) { return logarithm_of_two(x) * 0.6931471805599453f; }
__device__ __forceinline__ double logarithm(double x) { return log(x); }

} // namespace clear_cuda
