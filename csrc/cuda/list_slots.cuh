// Builds the slot lists; included once.
#pragma once

#include "slots.cuh"

namespace clear_cuda {

constexpr int kSlotThreads = 256;

struct SlotArguments {
  ClearProblem problem;
  SlotList list;
};

// One block per list.
__global__ void __launch_bounds__(kSlotThreads) list_slots(const __grid_constant__ SlotArguments args) {
  const ClearProblem &p = args.problem;
  constexpr int kWarps = kSlotThreads / 32;
  __shared__ int warp_globals[kWarps];
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int64_t batch = blockIdx.x, beats = beat_count(p), tokens = token_count(p);
  Slot *slots = args.list.slots + batch * args.list.stride;
  for (int lead = thread; lead < p.leads; lead += kSlotThreads) slots[lead] = {lead, lead};

  int64_t front = p.leads, back = tokens - 1;
  for (int64_t base = 0; base < beats; base += kSlotThreads) {
    const int64_t beat = base + thread;
    const bool inside = beat < beats;
    const bool global = inside && beat_valid(p, batch, beat) && beat_visible(p, batch, beat);
    const uint32_t globals = __ballot_sync(0xffffffffu, global);
    if (lane == 0) warp_globals[warp] = __popc(globals);
    __syncthreads();
    int before = __popc(globals & ((1u << lane) - 1)), total = 0;
    for (int w = 0; w < kWarps; ++w) {
      before += w < warp ? warp_globals[w] : 0;
      total += warp_globals[w];
    }
    if (inside) {
      const Slot slot = {static_cast<int32_t>(p.leads + beat), beat_lead(p, batch, beat) | kBeat};
      slots[global ? front + before : back - (thread - before)] = slot;
    }
    front += total;
    back -= kSlotThreads - total;
    __syncthreads();
  }
  if (thread == 0) args.list.counts[batch] = static_cast<int32_t>(front);
}

} // namespace clear_cuda
