// The tokens of the dense part in the order in which its kernels walk them: the class tokens, the global beats in
// ascending order, and at the far end all other beats. Built on the device, so that no mask has to reach the host.
#pragma once

#include "tokens.cuh"

namespace clear_cuda {

// `code` says whom the token may meet: its lead, plus kBeat for a beat.
struct Slot {
  int32_t position, code;
};
constexpr int kBeat = 256;
// Codes of places in a tile without a token. They meet no one, each other neither.
constexpr int kNoRow = 512, kNoStep = 1024;

// Beats meet every beat; a class token meets itself and the tokens of its lead.
__device__ __forceinline__ bool may_meet(int query_code, int key_code) {
  return (query_code & key_code & kBeat) != 0 || (query_code & ~kBeat) == (key_code & ~kBeat);
}

struct SlotList {
  Slot *slots;     // [samples, N]
  int32_t *counts; // [samples] class tokens and global beats
  int64_t stride;  // N, or 0 when the batch shares one list
  __device__ const Slot *of(int64_t batch) const { return slots + batch * stride; }
  __device__ int count(int64_t batch) const { return counts[stride == 0 ? 0 : batch]; }
};

} // namespace clear_cuda
