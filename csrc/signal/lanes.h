// The vectors of the instruction set this translation unit is compiled for, as the attention kernels have them.
#pragma once

#include <cstdlib>
#include <cstring>
#include <new>

#include "cpu/vec.h"

namespace clear_signal {
namespace CK_ISA {

using clear_kernels::CK_ISA::kLanes;
using clear_kernels::CK_ISA::load;
using clear_kernels::CK_ISA::splat;
using clear_kernels::CK_ISA::store;
using clear_kernels::CK_ISA::Vec;

// Memory for the time of a call. Not a std::vector, whose code the linker would share among instruction sets.
template <class X> class Scratch {
public:
  explicit Scratch(int64_t count) : data_(static_cast<X *>(std::malloc(static_cast<size_t>(count + 1) * sizeof(X)))) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  ~Scratch() { std::free(data_); }
  X *get() const { return data_; }
  X &operator[](int64_t i) const { return data_[i]; }

private:
  X *data_;
};

} // namespace CK_ISA
} // namespace clear_signal
