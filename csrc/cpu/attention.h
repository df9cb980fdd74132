// Entry points of the CPU kernels for the bindings.
#pragma once

#include <string>
#include <vector>

#include "params.h"

namespace clear_kernels {

// Names of the variants this processor can run, fastest first.
std::vector<std::string> runnable_variants();

// Run on at most `threads` threads. `isa` names a variant, or is empty for the fastest.
// Throw std::invalid_argument for an unknown variant and std::bad_alloc when scratch memory cannot be had.
void attention_forward(ForwardProblem problem, int threads, const std::string &isa);
void attention_backward(BackwardProblem problem, int threads, const std::string &isa);

} // namespace clear_kernels
