// One instruction set's variant of the kernels. Compiled several times, with -DCK_ISA=<name> and that set's flags.
#include "variant.h"
#include "backward_global.h"
#include "forward_global.h"

namespace clear_kernels {
namespace CK_ISA {
namespace {

struct ChunkRange {
  int64_t first, last;
};

ChunkRange chunk_range(const Problem &p, int64_t chunk) {
  const int64_t first = chunk * p.groups_per_chunk;
  const int64_t last = first + p.groups_per_chunk;
  return {first, last < p.groups ? last : p.groups};
}

// Both directions offer the same five steps; Direction binds their classes to a storage type.
template <template <class> class Task, template <class> class Global, class ProblemOf> struct Direction {
  template <class T> static size_t scratch(const ProblemOf &p) {
    Arena arena(nullptr);
    Task<T> task(p, arena);
    Global<T> global(task, arena);
    return arena.used();
  }

  template <class T> static void run(const ProblemOf &p, int64_t index, int64_t following, void *memory) {
    Arena arena(memory);
    Task<T> task(p, arena);
    Global<T> global(task, arena);
    const int64_t chunk = index % p.chunks;
    const ChunkRange range = chunk_range(p, chunk);
    task.start(index / p.chunks);
    if (following >= 0) task.follow(following / p.chunks, chunk_range(p, following % p.chunks).first);
    task.start_class_rows(chunk == 0);
    if (p.global.capacity > 0) global.run();
    task.walk(range.first, range.last);
    task.finish_class_rows(chunk);
    if (p.stream) finish_streams();
  }

  template <class T> static void merge(const ProblemOf &p, int64_t batch_head, void *memory) {
    Arena arena(memory);
    Task<T> task(p, arena);
    task.start(batch_head);
    task.merge_class_rows();
  }
};

using ForwardDirection = Direction<Forward, ForwardGlobal, ForwardProblem>;
using BackwardDirection = Direction<Backward, BackwardGlobal, BackwardProblem>;

template <class Call> auto with_type(DType dtype, Call call) {
  switch (dtype) {
  case DType::kBFloat16:
    return call(BFloat16{});
  case DType::kFloat16:
    return call(Float16{});
  case DType::kFloat64:
    return call(double{});
  default:
    return call(float{});
  }
}

template <class D, class P> size_t scratch(const P &p) {
  return with_type(p.dtype, [&](auto type) { return D::template scratch<decltype(type)>(p); });
}
template <class D, class P> void run(const P &p, int64_t index, int64_t following, void *memory) {
  with_type(p.dtype, [&](auto type) { D::template run<decltype(type)>(p, index, following, memory); });
}
template <class D, class P> void merge(const P &p, int64_t batch_head, void *memory) {
  with_type(p.dtype, [&](auto type) { D::template merge<decltype(type)>(p, batch_head, memory); });
}
int64_t width(const Problem &p) {
  return with_type(p.dtype, [&](auto type) { return padded_width<decltype(type)>(p); });
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
