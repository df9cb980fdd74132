// Many numbers divided by the same one.
#pragma once

#include "kernels.h"
#include "lanes.h"

namespace clear_signal {
namespace CK_ISA {

// x / y to the last bit: a product with the reciprocal, and Markstein's correction (IBM J. Res. Dev. 34, 1990, p. 111)
// by fused operations, in a third of the time of a division.
class Quotient {
public:
  explicit Quotient(double divisor) : y_(divisor), reciprocal_(1.0 / divisor) {
#if defined(__FMA__)
    uint64_t bits;
    std::memcpy(&bits, &y_, sizeof bits);
    constexpr uint64_t kFraction = (uint64_t{1} << 52) - 1;
    const double size = y_ < 0.0 ? -y_ : y_;
    // Not where the theorem does not hold: a fraction of ones alone, or numbers near the ends of the range.
    corrected_ = (bits & kFraction) != kFraction && size > 0x1p-300 && size < 0x1p300;
#endif
  }

  // Calls with a function that gives the quotient of x, which is 0 or of a size between 2^-200 and 2^200.
  template <class Run> CK_INLINE void with(const Run &run) const {
    const double y = y_;
#if defined(__FMA__)
    if (corrected_) {
      const double reciprocal = reciprocal_;
      return run([=](double x) {
        const double about = x * reciprocal;
        return __builtin_fma(__builtin_fma(-about, y, x), reciprocal, about);
      });
    }
#endif
    run([=](double x) { return x / y; });
  }

private:
  double y_, reciprocal_;
  bool corrected_ = false;
};

} // namespace CK_ISA
} // namespace clear_signal
