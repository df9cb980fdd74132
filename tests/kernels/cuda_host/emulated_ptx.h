// What csrc/cuda/ptx.cuh declares, computed lane by lane from the documented fragment layouts.
#pragma once

#include <cmath>
#include <cstring>

namespace clear_cuda {

inline unsigned char *dynamic_shared() { return emulation::dynamic_shared(); }

template <typename T> T *further(T *address, int count, int bytes) {
  return reinterpret_cast<T *>(reinterpret_cast<uintptr_t>(address) + static_cast<int64_t>(count) * bytes);
}

inline int held(int x) { return x; }

inline float power_of_two(float x) { return std::exp2(x); }
inline float logarithm_of_two(float x) { return std::log2(x); }
inline float reciprocal(float x) { return 1.0f / x; }

// Copies arrive only when they are awaited, so that a missing wait shows. No source: zeros.
inline void copy16(void *shared, const void *global, bool there) {
  emulation::require_aligned(shared, 16);
  if (there) emulation::require_aligned(global, 16);
  emulation::self().open_copies.push_back({shared, there ? global : nullptr});
}
inline void copy16_if(bool wanted, void *shared, const void *global, bool there) {
  if (wanted) copy16(shared, global, there);
}
inline void copy_commit() {
  emulation::Thread &thread = emulation::self();
  thread.copy_groups.push_back(thread.open_copies);
  thread.open_copies.clear();
}
template <int kPending> void copy_wait() {
  auto &groups = emulation::self().copy_groups;
  while (groups.size() > kPending) {
    for (const emulation::AsyncCopy &copy : groups.front()) {
      if (copy.source == nullptr) {
        std::memset(copy.target, 0, 16);
      } else {
        std::memcpy(copy.target, copy.source, 16);
      }
    }
    groups.erase(groups.begin());
  }
}

inline int lane_index() { return static_cast<int>(emulation::self().index.x % 32); }

template <bool kTransposed> void emulated_load_matrices(uint32_t (&x)[4], const void *row, int line) {
  emulation::require_aligned(row, 16);
  const emulation::Site site{"load_matrices", line};
  const int lane = lane_index(), r = lane / 4, c = lane % 4;
  struct Result {
    uint32_t x[4];
  };
  const Result result = emulation::warp_collective(site, row, [&](auto row_of) {
    Result loaded;
    for (int matrix = 0; matrix < 4; ++matrix) {
      const auto element = [&](int i, int j) {
        uint16_t bits;
        std::memcpy(&bits, static_cast<const unsigned char *>(row_of(8 * matrix + i)) + 2 * j, sizeof bits);
        return static_cast<uint32_t>(bits);
      };
      const uint32_t low = kTransposed ? element(2 * c, r) : element(r, 2 * c);
      const uint32_t high = kTransposed ? element(2 * c + 1, r) : element(r, 2 * c + 1);
      loaded.x[matrix] = low | high << 16;
    }
    return loaded;
  });
  std::memcpy(x, result.x, sizeof result.x);
}
inline void load_matrices(uint32_t (&x)[4], const void *row, int line = __builtin_LINE()) {
  emulated_load_matrices<false>(x, row, line);
}
inline void load_matrices_transposed(uint32_t (&x)[4], const void *row, int line = __builtin_LINE()) {
  emulated_load_matrices<true>(x, row, line);
}

inline const void *swapped(const void *row, uint32_t swap) {
  return reinterpret_cast<const void *>(reinterpret_cast<uintptr_t>(row) ^ swap);
}
inline void load_matrices(uint32_t (&x)[4], const void *row, uint32_t swap, int line = __builtin_LINE()) {
  emulated_load_matrices<false>(x, swapped(row, swap), line);
}
inline void load_matrices_transposed(uint32_t (&x)[4], const void *row, uint32_t swap, int line = __builtin_LINE()) {
  emulated_load_matrices<true>(x, swapped(row, swap), line);
}

inline uint32_t transpose_matrix(uint32_t x, int line = __builtin_LINE()) {
  const emulation::Site site{"transpose_matrix", line};
  const int lane = lane_index(), r = lane / 4, c = lane % 4;
  return emulation::warp_collective(site, x, [&](auto lane_of) {
    const auto element = [&](int i, int j) {
      return static_cast<uint32_t>(lane_of(4 * i + j / 2)) >> (16 * (j % 2)) & 0xffffu;
    };
    return element(2 * c, r) | element(2 * c + 1, r) << 16;
  });
}

inline float value_of(__half, uint32_t bits) { return emulation::half_value(static_cast<uint16_t>(bits)); }
inline float value_of(__nv_bfloat16, uint32_t bits) { return emulation::bfloat16_value(static_cast<uint16_t>(bits)); }

template <typename T>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, int line = __builtin_LINE()) {
  struct Operands {
    uint32_t a[4], b[2];
  };
  struct Sums {
    float c[4];
  };
  const Operands mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
  const int lane = lane_index(), r = lane / 4, t = lane % 4;
  const emulation::Site site{"multiply_add", line};
  const Sums sums = emulation::warp_collective(site, mine, [&](auto lane_of) {
    // Elements (i, k) and (i, k + 1) of a, k even, are in lane 4 (i % 8) + k % 8 / 2; (k, j) and (k + 1, j) of b in
    // lane 4 j + k % 8 / 2.
    Sums added = {{c[0], c[1], c[2], c[3]}};
    for (int k = 0; k < 16; k += 2) {
      const Operands left = lane_of(4 * r + k % 8 / 2);
      for (int column = 0; column < 2; ++column) {
        const uint32_t pair_b = lane_of(4 * (2 * t + column) + k % 8 / 2).b[k / 8];
        const float even = value_of(T{}, pair_b & 0xffffu), odd = value_of(T{}, pair_b >> 16);
        for (int half = 0; half < 2; ++half) {
          const uint32_t pair_a = left.a[half + k / 8 * 2];
          float &sum = added.c[2 * half + column];
          sum += value_of(T{}, pair_a & 0xffffu) * even;
          sum += value_of(T{}, pair_a >> 16) * odd;
        }
      }
    }
    return added;
  });
  std::memcpy(c, sums.c, sizeof sums.c);
}

} // namespace clear_cuda
