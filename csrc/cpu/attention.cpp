#include "attention.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <new>
#include <stdexcept>

#include "pages.h"
#include "parallel.h"
#include "variant.h"

namespace clear_kernels {
namespace {

std::vector<const Variant *> runnable() {
  std::vector<const Variant *> found;
#if defined(CK_HAVE_X86_VARIANTS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) {
    found.push_back(&avx512::variant());
  }
  // Every processor with AVX2 and FMA also converts half precision (F16C).
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::variant());
#endif
  found.push_back(&generic::variant());
  return found;
}

const Variant &choose(const std::string &isa) {
  const std::vector<const Variant *> found = runnable();
  if (isa.empty()) return *found.front();
  std::string names;
  for (const Variant *variant : found) {
    if (isa == variant->name) return *variant;
    names += names.empty() ? variant->name : std::string(", ") + variant->name;
  }
  throw std::invalid_argument("isa='" + isa + "' cannot run on this processor; choose one of: " + names);
}

// Memory aligned to cache lines, and therefore to vectors.
class Buffer {
public:
  explicit Buffer(size_t bytes) : data_(bytes == 0 ? nullptr : std::aligned_alloc(64, (bytes + 63) / 64 * 64)) {
    if (bytes != 0 && data_ == nullptr) throw std::bad_alloc();
  }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { std::free(data_); }
  char *get() const { return static_cast<char *>(data_); }

private:
  void *data_;
};

struct GlobalTokens {
  std::vector<int64_t> positions, counts;
};

// Lists the global tokens once per distinct sample, so that no kernel has to search for them.
GlobalTokens list_global(Problem &p) {
  GlobalTokens found;
  if (!p.all_visible && p.visible.data == nullptr) return found;
  const int64_t beats = p.rows - p.leads;
  const bool shared = p.valid.batch_stride == 0 && p.visible.batch_stride == 0;
  const int64_t samples = shared ? 1 : p.batch;
  int64_t capacity = 0;
  std::vector<std::vector<int64_t>> lists(static_cast<size_t>(samples));
  for (int64_t b = 0; b < samples; ++b) {
    std::vector<int64_t> &list = lists[static_cast<size_t>(b)];
    for (int64_t beat = 0; beat < beats; ++beat) {
      if (p.valid.at(b, beat) && p.visible.at(b, beat)) list.push_back(p.leads + beat);
    }
    capacity = std::max(capacity, static_cast<int64_t>(list.size()));
  }
  found.positions.resize(static_cast<size_t>(samples * capacity));
  for (int64_t b = 0; b < samples; ++b) {
    const std::vector<int64_t> &list = lists[static_cast<size_t>(b)];
    std::copy(list.begin(), list.end(), found.positions.begin() + b * capacity);
    found.counts.push_back(static_cast<int64_t>(list.size()));
  }
  p.global = {found.positions.data(), found.counts.data(), shared ? 0 : capacity, capacity};
  return found;
}

// Splits the groups into chunks so that even a single long record keeps many cores busy. The split depends on the
// problem alone, never on the number of threads: results are the same bit for bit on any machine size.
void split_into_chunks(Problem &p) {
  constexpr int64_t kWantedTasks = 128, kStep = 16, kMost = 256;
  p.groups = p.grid() ? p.beats : (p.beats + kMaxGroup - 1) / kMaxGroup;
  p.groups_per_chunk = std::max<int64_t>(p.groups, 1);
  p.chunks = 1;
  if (p.global.capacity > 0 || !p.grid()) return; // the global tokens of a sample are handled by one task
  const int64_t wanted = (p.groups * p.batch * p.heads + kWantedTasks - 1) / kWantedTasks;
  const int64_t rounded = (wanted + kStep - 1) / kStep * kStep;
  p.groups_per_chunk = std::clamp(rounded, kStep, kMost);
  p.chunks = (p.groups + p.groups_per_chunk - 1) / p.groups_per_chunk;
}

int64_t storage_size(const Problem &p) { return p.dtype == DType::kFloat64 ? 8 : p.dtype == DType::kFloat32 ? 4 : 2; }

// Takes as many heads at a time as lie side by side in a few kilobytes of a row, while that leaves every thread several
// tasks. Heads do not mix, so results do not depend on it. Global tokens are handled head by head.
void share_heads(Problem &p, int threads, std::initializer_list<Tensor> tensors) {
  constexpr int64_t kTasksPerThread = 8, kMostBytes = 3072;
  p.heads_per_task = 1;
  if (!p.grid() || p.global.capacity > 0) return;
  for (const Tensor &tensor : tensors) {
    if (tensor.strides.head != p.dim) return;
  }
  const int64_t fitting = kMostBytes / (p.dim * storage_size(p));
  const int64_t sharing = p.batch * p.heads * p.chunks / (kTasksPerThread * std::max(threads, 1));
  const int64_t most = std::clamp<int64_t>(std::min({fitting, sharing, p.heads}), 1, kMaxHeads);
  const int64_t blocks = (p.heads + most - 1) / most;
  p.heads_per_task = (p.heads + blocks - 1) / blocks;
}

// How rows are asked for ahead of their use. Whole heartbeats were found best on Zen 4, where a page walk holds up the
// instructions behind its prefetch. Going head by head was tuned on an Intel Xeon and stays for all others.
bool prefers_whole_heartbeats() {
#if defined(CK_HAVE_X86_VARIANTS)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

// A heartbeat at a time, if two fit the second-level cache, which has 512 kB at least on Zen.
void choose_fetch(Problem &p, int64_t inputs) {
  constexpr int64_t kMostBytes = 192 << 10;
  const int64_t heartbeat = inputs * p.leads * p.heads_per_task * p.dim * storage_size(p);
  p.whole_heartbeats = prefers_whole_heartbeats() && p.heads_per_task > 1 && heartbeat <= kMostBytes;
}

int64_t element_size(const Problem &p) { return p.dtype == DType::kFloat64 ? 8 : 4; }

// Results of a call that moves `tensors` tensors like q. If those leave the caches before anybody reads them, results
// are streamed, provided that rows are whole cache lines and computed in place, as float32 and float64 ones are.
void prepare_results(Problem &p, int64_t tensors, std::initializer_list<void *> results) {
  constexpr int64_t kCache = int64_t{32} << 20; // what a few cores share on today's processors; systems misreport it
  const bool in_place = p.dtype == DType::kFloat32 || p.dtype == DType::kFloat64;
  const int64_t row = p.dim * storage_size(p), bytes = p.batch * p.heads * p.rows * row;
  p.stream = in_place && row % 64 == 0 && tensors * bytes > kCache;
  for (void *result : results) {
    if (reinterpret_cast<uintptr_t>(result) % 64 != 0) p.stream = false;
    prefer_huge_pages(result, static_cast<size_t>(bytes));
  }
}

template <class P, class Run, class Merge>
void run(const P &p, int threads, size_t scratch_bytes, const Run &task, const Merge &merge) {
  const size_t stride = (scratch_bytes + 63) / 64 * 64 + 64;
  const int workers = static_cast<int>(std::clamp<int64_t>(p.tasks(), 1, std::max(threads, 1)));
  const Buffer scratch(stride * static_cast<size_t>(workers));
  parallel_for(p.tasks(), workers, [&](int64_t index, Tasks &tasks, int worker) {
    task(p, index, tasks, scratch.get() + stride * static_cast<size_t>(worker));
  });
  if (p.chunks == 1) return;
  parallel_for(p.batch * p.heads, workers, [&](int64_t index, Tasks &, int worker) {
    merge(p, index, scratch.get() + stride * static_cast<size_t>(worker));
  });
}

} // namespace

std::vector<std::string> runnable_variants() {
  std::vector<std::string> names;
  for (const Variant *variant : runnable()) names.emplace_back(variant->name);
  return names;
}

void attention_forward(ForwardProblem p, int threads, const std::string &isa) {
  const Variant &variant = choose(isa);
  const GlobalTokens global = list_global(p);
  split_into_chunks(p);
  share_heads(p, threads, {p.q, p.k, p.v});
  choose_fetch(p, 3);
  prepare_results(p, 4, {p.out});
  const int64_t per_chunk = p.chunks == 1 ? 0 : p.leads * (2 + variant.width(p)) * element_size(p);
  const Buffer partials(static_cast<size_t>(p.batch * p.heads * p.chunks * per_chunk));
  p.partials = partials.get();
  run(p, threads, variant.forward_scratch(p), variant.forward, variant.forward_merge);
}

void attention_backward(BackwardProblem p, int threads, const std::string &isa) {
  const Variant &variant = choose(isa);
  const GlobalTokens global = list_global(p);
  split_into_chunks(p);
  share_heads(p, threads, {p.q, p.k, p.v, p.dout});
  choose_fetch(p, 5);
  prepare_results(p, 8, {p.dq, p.dk, p.dv});
  const int64_t per_chunk = p.chunks == 1 ? 0 : 3 * p.leads * variant.width(p) * element_size(p);
  const Buffer partials(static_cast<size_t>(p.batch * p.heads * p.chunks * per_chunk));
  p.partials = partials.get();
  run(p, threads, variant.backward_scratch(p), variant.backward, variant.backward_merge);
}

} // namespace clear_kernels
