// Which variant of the kernels runs.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace clear_signal {

// Names of the variants that run on this processor, the fastest first.
std::vector<std::string> isas();

// The fastest variant, or the one that CLEAR_HUG_NATIVE names.
const Kernels &kernels();

} // namespace clear_signal
