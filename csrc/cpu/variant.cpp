// One instruction set's variant of the kernels. Compiled several times, with -DCK_ISA=<name> and that set's flags.
#include "variant.h"
#include "backward_global.h"
#include "forward_global.h"

namespace clear_kernels {
namespace CK_ISA {
namespace {

// Both directions offer the same steps; Direction binds their classes to a storage type and a width of rows.
template <template <class, int> class Task, template <class, int> class Global, class ProblemOf> struct Direction {
  template <class T, int VECTORS> static size_t scratch(const ProblemOf &p) {
    Arena arena(nullptr);
    Task<T, VECTORS> task(p, arena);
    Global<T, VECTORS> global(task, arena);
    return arena.used();
  }

  template <class T, int VECTORS> static void run(const ProblemOf &p, int64_t index, Tasks &tasks, void *memory) {
    Arena arena(memory);
    Task<T, VECTORS> task(p, arena);
    Global<T, VECTORS> global(task, arena);
    task.start(task_range(p, index), tasks);
    if (p.global.capacity > 0) global.run();
    task.walk();
    task.finish();
    if (p.stream) finish_streams();
  }

  template <class T, int VECTORS> static void merge(const ProblemOf &p, int64_t batch_head, void *memory) {
    Arena arena(memory);
    Task<T, VECTORS> task(p, arena);
    task.merge(batch_head);
  }
};

using ForwardDirection = Direction<Forward, ForwardGlobal, ForwardProblem>;
using BackwardDirection = Direction<Backward, BackwardGlobal, BackwardProblem>;

template <class T, int VECTORS = 0> struct Kind {
  using Type = T;
  static constexpr int kVectors = VECTORS;
};

// Calls with the storage type, and with the width of the head dimensions in common use where SIMD makes it pay.
template <class Call> auto with_kind(const Problem &p, Call call) {
  switch (p.dtype) {
  case DType::kBFloat16:
    return call(Kind<BFloat16>{});
  case DType::kFloat16:
    return call(Kind<Float16>{});
  case DType::kFloat64:
    return call(Kind<double>{});
  default:
#if CK_VECTOR_BYTES > 16
    if (p.dim == 32) return call(Kind<float, 32 / kLanes<float>>{});
    if (p.dim == 64) return call(Kind<float, 64 / kLanes<float>>{});
    if (p.dim == 96) return call(Kind<float, 96 / kLanes<float>>{});
#endif
    return call(Kind<float>{});
  }
}

template <class D, class P> size_t scratch(const P &p) {
  return with_kind(p, [&](auto kind) {
    using K = decltype(kind);
    return D::template scratch<typename K::Type, K::kVectors>(p);
  });
}
template <class D, class P> void run(const P &p, int64_t index, Tasks &tasks, void *memory) {
  with_kind(p, [&](auto kind) {
    using K = decltype(kind);
    D::template run<typename K::Type, K::kVectors>(p, index, tasks, memory);
  });
}
template <class D, class P> void merge(const P &p, int64_t batch_head, void *memory) {
  with_kind(p, [&](auto kind) {
    using K = decltype(kind);
    D::template merge<typename K::Type, K::kVectors>(p, batch_head, memory);
  });
}
int64_t width(const Problem &p) {
  return with_kind(p, [&](auto kind) { return padded_width<typename decltype(kind)::Type>(p); });
}

#define CK_STRING_OF(x) #x
#define CK_STRING(x) CK_STRING_OF(x)

const Variant kVariant = {CK_STRING(CK_ISA),
                          width,
                          scratch<ForwardDirection, ForwardProblem>,
                          run<ForwardDirection, ForwardProblem>,
                          merge<ForwardDirection, ForwardProblem>,
                          scratch<BackwardDirection, BackwardProblem>,
                          run<BackwardDirection, BackwardProblem>,
                          merge<BackwardDirection, BackwardProblem>};

} // namespace

const Variant &variant() { return kVariant; }

} // namespace CK_ISA
} // namespace clear_kernels
