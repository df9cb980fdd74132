#include "dispatch.h"

#include <cstdlib>

namespace clear_signal {
namespace {

// The variants that run on this processor, the fastest first.
std::vector<const Kernels *> runnable() {
  std::vector<const Kernels *> found;
#if defined(CK_HAVE_X86_VARIANTS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) {
    found.push_back(&avx512::kernels());
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::kernels());
#endif
  found.push_back(&generic::kernels());
  return found;
}

const Kernels &choose() {
  const char *wanted = std::getenv("CLEAR_HUG_NATIVE");
  const std::vector<const Kernels *> found = runnable();
  for (const Kernels *variant : found) {
    if (wanted != nullptr && std::string(variant->name) == wanted) return *variant;
  }
  return *found.front();
}

} // namespace

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const Kernels *variant : runnable()) names.emplace_back(variant->name);
  return names;
}

const Kernels &kernels() {
  static const Kernels &chosen = choose();
  return chosen;
}

} // namespace clear_signal
