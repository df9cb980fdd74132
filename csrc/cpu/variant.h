// The instruction-set variants linked into this build.
#pragma once

#include "params.h"

namespace clear_kernels {
namespace generic {
const Variant &variant();
}
#if defined(CK_HAVE_X86_VARIANTS)
namespace avx2 {
const Variant &variant();
}
namespace avx512 {
const Variant &variant();
}
#endif
} // namespace clear_kernels
