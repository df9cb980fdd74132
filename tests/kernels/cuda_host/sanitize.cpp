// Runs the kernels over every form, type and engine on tensors of exactly the size they need, for the address and
// undefined-behaviour sanitizers: what reads or writes beside a tensor or beside its shared memory ends the program.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "api.h"
#include "fibers.h"

namespace {

struct Shape {
  int form, leads, dim;
  int64_t batch, heads, beats;
};

class Call {
public:
  Call(const Shape &shape, int dtype) {
    problem_.dtype = dtype;
    problem_.form = shape.form;
    problem_.leads = shape.leads;
    problem_.dim = shape.dim;
    problem_.batch = shape.batch;
    problem_.heads = shape.heads;
    problem_.beats = shape.beats;
    problem_.scale = 0.25;
    problem_.keep_scale = 1.25;
    problem_.drop_below = 858993459u; // 20 %
    const int64_t beats = shape.form == CLEAR_PACKED ? shape.beats : shape.beats * shape.leads;
    const int64_t tokens = beats + shape.leads, size = dtype == CLEAR_FLOAT64 ? 8 : dtype == CLEAR_FLOAT32 ? 4 : 2;
    for (ClearRows &rows : problem_.rows) {
      rows = {allocate(shape.batch * tokens * shape.heads * shape.dim * size), tokens * shape.heads * shape.dim,
              shape.dim, shape.heads * shape.dim};
    }
    problem_.lse = allocate(shape.batch * shape.heads * tokens * (dtype == CLEAR_FLOAT64 ? 8 : 4));
    problem_.seed = reinterpret_cast<const int64_t *>(allocate(8));
    problem_.valid = {random_mask(shape.batch * beats), beats};
    if (shape.form == CLEAR_MIXED) problem_.visible = {random_mask(beats), 0};
    if (shape.form == CLEAR_PACKED) {
      auto *lead = reinterpret_cast<int32_t *>(allocate(beats * 4));
      for (int64_t i = 0; i < beats; ++i) lead[i] = static_cast<int32_t>(random_() % 8); // some out of range
      problem_.lead = lead;
    }
  }

  bool run(bool backward) {
    ClearPlan plan{};
    if (clear_cuda_plan(&problem_, backward, nullptr, &plan) != 0) return false;
    const ClearLaunch launch = {allocate(plan.workspace), plan.workspace, nullptr};
    return (backward ? clear_cuda_backward(&problem_, &launch) : clear_cuda_forward(&problem_, &launch)) == 0;
  }

private:
  unsigned char *allocate(int64_t bytes) {
    memory_.emplace_back(new unsigned char[static_cast<size_t>(bytes)]());
    return memory_.back().get();
  }
  const uint8_t *random_mask(int64_t count) {
    unsigned char *mask = allocate(count);
    for (int64_t i = 0; i < count; ++i) mask[i] = random_() % 3 != 0;
    return mask;
  }

  ClearProblem problem_{};
  std::vector<std::unique_ptr<unsigned char[]>> memory_;
  std::mt19937 random_{7};
};

} // namespace

int main() {
  const std::vector<Shape> shapes = {
      {CLEAR_LOCAL, 3, 16, 1, 2, 9},       {CLEAR_LOCAL, 12, 13, 1, 1, 5},  {CLEAR_LOCAL, 20, 8, 1, 1, 2},
      {CLEAR_MIXED, 4, 40, 2, 1, 6},       {CLEAR_MIXED, 12, 9, 1, 1, 4},   {CLEAR_ALL_VISIBLE, 3, 136, 1, 1, 12},
      {CLEAR_ALL_VISIBLE, 2, 33, 1, 1, 7}, {CLEAR_PACKED, 8, 32, 2, 1, 37}, {CLEAR_LOCAL, 2, 8, 1, 1, 70},
  };
  const std::vector<emulation::Device> devices = {
      {4, 227 * 1024, 228 * 1024, 0}, {4096, 64 * 1024, 64 * 1024, 0}, {4, 2048, 2048, 0}};
  for (const emulation::Device &device : devices) {
    emulation::device() = device;
    for (const Shape &shape : shapes) {
      for (int dtype = CLEAR_FLOAT32; dtype <= CLEAR_FLOAT64; ++dtype) {
        Call call(shape, dtype);
        if (call.run(false) && call.run(true)) continue;
        std::printf("form %d, leads %d, dim %d, dtype %d: %s\n", shape.form, shape.leads, shape.dim, dtype,
                    emulation::error());
        return 1;
      }
    }
  }
  std::puts("clean");
  return 0;
}
