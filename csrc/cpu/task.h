// What one task covers: some neighbouring heads of a sample, and a run of its groups.
#pragma once

#include "parallel.h"
#include "params.h"
#include "vec.h"

namespace clear_kernels {
namespace CK_ISA {

struct TaskRange {
  int64_t batch, first_head, heads, chunk, first_group, last_group;
};

inline TaskRange task_range(const Problem &p, int64_t task) {
  TaskRange range{};
  range.chunk = task % p.chunks;
  const int64_t block = task / p.chunks % p.head_blocks();
  range.batch = task / p.chunks / p.head_blocks();
  range.first_head = block * p.heads_per_task;
  const int64_t left = p.heads - range.first_head;
  range.heads = left < p.heads_per_task ? left : p.heads_per_task;
  range.first_group = range.chunk * p.groups_per_chunk;
  const int64_t end = range.first_group + p.groups_per_chunk;
  range.last_group = end < p.groups ? end : p.groups;
  return range;
}

} // namespace CK_ISA
} // namespace clear_kernels
