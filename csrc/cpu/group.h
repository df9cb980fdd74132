// A group: the tokens that are handled together. In the grid form it is one heartbeat in all leads; in the packed form,
// where no token is local, it is any run of up to kMaxGroup tokens.
#pragma once

#include "params.h"
#include "vec.h"

namespace clear_kernels {
namespace CK_ISA {

struct Group {
  int size = 0;                 // valid beats
  int local = 0;                // of which local: they attend within the group
  int padding = 0;              // padding beats
  int64_t position[kMaxGroup];  // of each valid beat in the sequence
  int lead[kMaxGroup];          // of each valid beat
  int place[kMaxGroup];         // of each valid beat among those of its lead
  int most_of_lead = 0;         // valid beats of the lead that has most
  bool whole = false;           // one valid beat of every lead, in their order
  bool visible[kMaxGroup];      // is the valid beat global?
  int query[kMaxGroup];         // index into `position` of each local beat
  int64_t padded_at[kMaxGroup]; // position of each padding beat
};

CK_INLINE int64_t group_capacity(const Problem &p) { return p.grid() ? p.leads : kMaxGroup; }

CK_INLINE int lead_of(const Problem &p, int64_t batch, int64_t position) {
  const int64_t beat = position - p.leads;
  return p.grid() ? static_cast<int>(beat / p.beats) : p.lead[batch * p.lead_batch_stride + beat];
}

// Packed tokens come in any order, and any number may be of one lead.
inline void count_places(Group &group) {
  int count[kMaxGroup] = {};
  for (int i = 0; i < group.size; ++i) {
    group.place[i] = count[group.lead[i]]++;
    if (group.place[i] >= group.most_of_lead) group.most_of_lead = group.place[i] + 1;
  }
}

inline void fill_group(const Problem &p, int64_t batch, int64_t index, Group &group) {
  const bool grid = p.grid(), masked = p.visible.data != nullptr;
  const int64_t step = grid ? p.beats : 1, first = grid ? index : index * kMaxGroup;
  const int64_t rest = p.beats - first, count = grid ? p.leads : (rest < kMaxGroup ? rest : kMaxGroup);
  int size = 0, local = 0, padding = 0; // kept apart from the group, whose arrays are written meanwhile
  for (int64_t i = 0, beat = first; i < count; ++i, beat += step) {
    if (!p.valid.at(batch, beat)) {
      group.padded_at[padding++] = p.leads + beat;
      continue;
    }
    const bool visible = p.all_visible || (masked && p.visible.at(batch, beat));
    group.position[size] = p.leads + beat;
    group.lead[size] = grid ? static_cast<int>(i) : p.lead[batch * p.lead_batch_stride + beat];
    group.visible[size] = visible;
    group.place[size] = 0;
    if (!visible) group.query[local++] = size;
    ++size;
  }
  group.size = size;
  group.most_of_lead = size > 0 ? 1 : 0;
  group.whole = grid && size == p.leads;
  if (!grid) count_places(group);
  group.local = local;
  group.padding = padding;
}

} // namespace CK_ISA
} // namespace clear_kernels
