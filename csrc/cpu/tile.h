// The two register-tiled products everything is made of. Matrices are lists of row pointers, because the rows that meet
// in one heartbeat lie far apart in memory; every row holds `width` elements, a multiple of the vector length.
#pragma once

#include "ahead.h"

namespace clear_kernels {
namespace CK_ISA {

// Tile sizes that fill the register file: 16 vector registers before AVX-512, 32 with it.
#if CK_VECTOR_BYTES == 64 && defined(__AVX512F__)
constexpr int kDotRows = 6, kSums = 24, kSumVectors = 4;
#else
constexpr int kDotRows = 3, kSums = 12, kSumVectors = 2;
#endif
constexpr int kDotCols = 4;

// Vectors of a row that one tile of a sum takes at most: all of them where that leaves it several rows.
template <class C, int VECTORS> constexpr int most_vectors(Width<C, VECTORS>) {
  return VECTORS > 0 && VECTORS * 4 <= kSums ? VECTORS : kSumVectors;
}

template <class C, int ROWS, class W>
CK_INLINE void dots_tile(const C *const *a, const C *const *b, W width, C *out, int64_t stride, Ahead &ahead,
                         bool first_of_a, bool first_of_b) {
  Vec<C> acc[ROWS][kDotCols] = {};
  for (int64_t d = 0; d < width; d += kLanes<C>) {
    ahead.lines<&Pace::dot>();
    if (first_of_a) ahead.near<C, ROWS>(a, d);
    if (first_of_b) ahead.near<C, kDotCols>(b, d);
    Vec<C> left[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) left[r] = load(a[r] + d);
#pragma GCC unroll 12
    for (int c = 0; c < kDotCols; ++c) {
      const Vec<C> right = load(b[c] + d);
#pragma GCC unroll 12
      for (int r = 0; r < ROWS; ++r) acc[r][c] += left[r] * right;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < ROWS; ++r) reduce_add4<C>(acc[r], out + r * stride);
}

// out[i * stride + j] = a_i . b_j for m rows of a and n rows of b. Four columns are written at a time: `stride` is a
// multiple of 4. Behind column n stand repeated values, then zeros up to round_up(n).
//
// Rows of b are gone through forth and back: where leads lie a multiple of 4 kB apart, only eight rows fit the
// first-level cache at a time, and going round would meet none of them again.
template <class C, class W>
inline void dots(const C *const *a, int m, const C *const *b, int n, W width, C *out, int64_t stride, Ahead &ahead) {
  const bool near = ahead.has_near();
  const int tiles = (n + kDotCols - 1) / kDotCols;
  bool back = false;
  for (int i = 0; i < m; back = !back) {
    const bool full = i + kDotRows <= m;
    for (int t = 0; t < tiles; ++t) {
      const int j = (back ? tiles - 1 - t : t) * kDotCols;
      const C *cols[kDotCols];
      const int nj = n - j < kDotCols ? n - j : kDotCols;
      for (int c = 0; c < kDotCols; ++c) cols[c] = b[c < nj ? j + c : j];
      C *to = out + i * stride + j;
      const bool near_a = near && t == 0, near_b = near && i == 0;
      if (full) {
        dots_tile<C, kDotRows>(a + i, cols, width, to, stride, ahead, near_a, near_b);
      } else {
        dots_tile<C, 1>(a + i, cols, width, to, stride, ahead, near_a, near_b);
      }
    }
    i += full ? kDotRows : 1;
  }
  for (int64_t j = (n + kDotCols - 1) / kDotCols * kDotCols; j < round_up<C>(n); j += kDotCols) {
    for (int i = 0; i < m; ++i) std::memset(out + i * stride + j, 0, kDotCols * sizeof(C));
  }
}

// out[i] = a_i . b_i for m pairs of rows, then zeros up to round_up(m). With `back`, the last pairs come first, for
// rows of which the last ones are still in the first-level cache.
template <class C, class W>
inline void pair_dots(const C *const *a, const C *const *b, int m, W width, C *out, Ahead &ahead, bool back = false) {
  for (int done = 0; done < m; done += 4) {
    const int i = back ? (m - 1) / 4 * 4 - done : done;
    Vec<C> acc[4] = {};
    const int mi = m - i < 4 ? m - i : 4;
    const C *left[4], *right[4];
    for (int r = 0; r < 4; ++r) left[r] = a[r < mi ? i + r : i], right[r] = b[r < mi ? i + r : i];
    for (int64_t d = 0; d < width; d += kLanes<C>) {
      if (d / kLanes<C> % 2 == 0) ahead.lines<&Pace::pair>();
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) acc[r] += load(left[r] + d) * load(right[r] + d);
    }
    if (mi == 4) {
      reduce_add4<C>(acc, out + i);
    } else {
      C sums[4];
      reduce_add4<C>(acc, sums);
      for (int r = 0; r < mi; ++r) out[i + r] = sums[r];
    }
  }
  for (int64_t i = m; i < round_up<C>(m); ++i) out[i] = C(0);
}

// out_i = base_i + extra_weight_i * extra_i + sum_j weight(i, j) * row_j, with weight(i, j) = w[i * w_row + j * w_col].
// `base` and `extra` may be null, as may single rows of `base`. out_i may be base_i. With `stream`, rows are written
// past the caches.
template <class C, class W> struct WeightedSum {
  const C *w;
  int64_t w_row, w_col;
  const C *const *rows;
  int n;
  const C *const *base;
  const C *extra_weight;
  const C *const *extra;
  C *const *out;
  int m;
  W width;
  bool stream = false;
};

template <class C, int ROWS, int VECTORS, class W>
CK_INLINE void sum_tile(const WeightedSum<C, W> &s, int first, int64_t d, Ahead &ahead) {
  constexpr int lanes = kLanes<C>;
  C *out[ROWS]; // read before anything is stored, since a store might change s as far as the compiler knows
  Vec<C> acc[ROWS][VECTORS];
#pragma GCC unroll 12
  for (int r = 0; r < ROWS; ++r) {
    out[r] = s.out[first + r] + d;
    const C *base = s.base == nullptr ? nullptr : s.base[first + r];
#pragma GCC unroll 12
    for (int x = 0; x < VECTORS; ++x) acc[r][x] = base == nullptr ? Vec<C>{} : load(base + d + x * lanes);
  }
  if (s.extra != nullptr) {
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) {
      const Vec<C> weight = splat(s.extra_weight[first + r]);
      const C *extra = s.extra[first + r] + d;
#pragma GCC unroll 12
      for (int x = 0; x < VECTORS; ++x) acc[r][x] += weight * load(extra + x * lanes);
    }
  }
  const C *w = s.w + first * s.w_row;
  const C *const *rows = s.rows, *const *end = rows + s.n;
  const int64_t w_row = s.w_row, w_col = s.w_col;
  for (; rows != end; ++rows, w += w_col) {
    const C *from = *rows + d;
    ahead.lines<&Pace::sum>();
    Vec<C> row[VECTORS];
#pragma GCC unroll 12
    for (int x = 0; x < VECTORS; ++x) row[x] = load(from + x * lanes);
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) {
      const Vec<C> weight = splat(w[r * w_row]);
#pragma GCC unroll 12
      for (int x = 0; x < VECTORS; ++x) acc[r][x] += weight * row[x];
    }
  }
  if (s.stream) {
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 12
      for (int x = 0; x < VECTORS; ++x) stream(out[r] + x * lanes, acc[r][x]);
    }
    return;
  }
#pragma GCC unroll 12
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 12
    for (int x = 0; x < VECTORS; ++x) store(out[r] + x * lanes, acc[r][x]);
  }
}

template <class C, int ROWS, int VECTORS, class W>
CK_INLINE void sum_sized(const WeightedSum<C, W> &s, int first, int64_t d, int64_t vectors, Ahead &ahead) {
  if (vectors == VECTORS) return sum_tile<C, ROWS, VECTORS>(s, first, d, ahead);
  if constexpr (VECTORS > 1) sum_sized<C, ROWS, VECTORS - 1>(s, first, d, vectors, ahead);
}

// As few tiles as the registers allow, of nearly equal size, since a tile of few vectors waits for its own additions.
template <class C, int ROWS, class W> inline void sum_rows(const WeightedSum<C, W> &s, int first, Ahead &ahead) {
  int64_t vectors = s.width / kLanes<C>, d = 0;
  constexpr int kMost = most_vectors<C>(W{});
  for (int64_t tiles = (vectors + kMost - 1) / kMost; tiles > 0; --tiles) {
    const int64_t size = (vectors + tiles - 1) / tiles;
    sum_sized<C, ROWS, kMost>(s, first, d, size, ahead);
    vectors -= size;
    d += size * kLanes<C>;
  }
}

template <class C, class W> inline void weighted_sum(const WeightedSum<C, W> &s, Ahead &ahead) {
  constexpr int kRows = kSums / most_vectors<C>(W{});
  int i = 0;
  for (; i + kRows <= s.m; i += kRows) sum_rows<C, kRows>(s, i, ahead);
  for (; i + 2 <= s.m; i += 2) sum_rows<C, 2>(s, i, ahead);
  for (; i < s.m; ++i) sum_rows<C, 1>(s, i, ahead);
}

// to += weight * from
template <class C, class W> CK_INLINE void add_scaled(C *to, C weight, const C *from, W width) {
  for (int64_t d = 0; d < width; d += kLanes<C>) store(to + d, load(to + d) + weight * load(from + d));
}

// to = weight * from
template <class C, class W> CK_INLINE void set_scaled(C *to, C weight, const C *from, W width) {
  for (int64_t d = 0; d < width; d += kLanes<C>) store(to + d, weight * load(from + d));
}

} // namespace CK_ISA
} // namespace clear_kernels
