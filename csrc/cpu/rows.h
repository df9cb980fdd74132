// Access to the rows of a [B, H, N, D] tensor: directly where the storage type is the compute type and D is a whole
// number of vectors, else through a converted and zero-padded copy in scratch.
#pragma once

#include "convert.h"

namespace clear_kernels {
namespace CK_ISA {

template <class T> constexpr bool kSameType = sizeof(T) == sizeof(Compute<T>);

template <class T> inline int64_t padded_width(const Problem &p) {
  constexpr int64_t lanes = kLanes<Compute<T>>;
  return (p.dim + lanes - 1) / lanes * lanes;
}

template <class T> inline bool rows_are_direct(const Problem &p) { return kSameType<T> && padded_width<T>(p) == p.dim; }

template <class T> class RowReader {
public:
  using C = Compute<T>;

  RowReader() = default;
  RowReader(const Problem &p, const Tensor &tensor, int64_t batch, int64_t head)
      : base_(static_cast<const T *>(tensor.data) + batch * tensor.strides.batch + head * tensor.strides.head),
        stride_(tensor.strides.row), dim_(p.dim), width_(padded_width<T>(p)) {}

  // The row at `position`; `buffer` (width elements) is used only when the row has to be converted.
  CK_INLINE const C *get(int64_t position, C *buffer) const {
    const T *row = base_ + position * stride_;
    if constexpr (kSameType<T>) {
      if (dim_ == width_) return row;
    }
    widen_row<T>(row, dim_, width_, buffer);
    return buffer;
  }

  int64_t row_bytes() const { return dim_ * static_cast<int64_t>(sizeof(T)); }
  CK_INLINE const T *address(int64_t position) const { return base_ + position * stride_; }

private:
  const T *base_;
  int64_t stride_, dim_, width_;
};

// Rows of an output in the layout [B, N, H, D].
template <class T> class RowWriter {
public:
  using C = Compute<T>;

  RowWriter() = default;
  RowWriter(const Problem &p, void *data, int64_t batch, int64_t head)
      : base_(static_cast<T *>(data) + (batch * p.rows * p.heads + head) * p.dim), stride_(p.heads * p.dim),
        dim_(p.dim), width_(padded_width<T>(p)) {}

  // Where to compute the row: in place, or in `buffer`, which commit() then converts.
  CK_INLINE C *target(int64_t position, C *buffer) const {
    if constexpr (kSameType<T>) {
      if (dim_ == width_) return base_ + position * stride_;
    }
    return buffer;
  }
  CK_INLINE void commit(int64_t position, const C *row) const {
    T *to = base_ + position * stride_;
    if constexpr (kSameType<T>) {
      if (to == row) return;
    }
    narrow_row<T>(row, dim_, to);
  }
  CK_INLINE void zero(int64_t position) const {
    std::memset(static_cast<void *>(base_ + position * stride_), 0, static_cast<size_t>(dim_) * sizeof(T));
  }

private:
  T *base_;
  int64_t stride_, dim_, width_;
};

// Moves a list of rows to the next head, where it is a neighbour in memory.
template <class P> CK_INLINE void shift_rows(P *rows, int count, int64_t elements) {
  for (int i = 0; i < count; ++i) rows[i] += elements;
}

// `count` rows with their pointers; the buffers exist only where rows are converted.
template <class C> struct RowBlock {
  const C **rows;
  C *buffer;
  int64_t width;

  RowBlock() = default;
  RowBlock(Arena &arena, int64_t count, int64_t width_of_row, bool direct)
      : rows(arena.take<const C *>(count)), buffer(direct ? nullptr : arena.take<C>(count * width_of_row)),
        width(width_of_row) {}

  C *slot(int64_t i) const { return buffer == nullptr ? nullptr : buffer + i * width; }
  template <class T> CK_INLINE void read(const RowReader<T> &from, int64_t position, int64_t i) const {
    rows[i] = from.get(position, slot(i));
  }
};

// The same for rows that are written.
template <class C> struct TargetBlock {
  C **rows;
  C *buffer;
  int64_t width;

  TargetBlock() = default;
  TargetBlock(Arena &arena, int64_t count, int64_t width_of_row, bool direct)
      : rows(arena.take<C *>(count)), buffer(direct ? nullptr : arena.take<C>(count * width_of_row)),
        width(width_of_row) {}

  template <class T> CK_INLINE void aim(const RowWriter<T> &to, int64_t position, int64_t i) const {
    rows[i] = to.target(position, buffer == nullptr ? nullptr : buffer + i * width);
  }
};

} // namespace CK_ISA
} // namespace clear_kernels
