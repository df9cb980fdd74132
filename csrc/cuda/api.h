// The C interface of the CUDA kernels: raw pointers, sizes, strides and a stream. No torch type, no allocation, no
// synchronisation: Python allocates every tensor and the workspace, so the calls can be captured in a CUDA graph.
#pragma once

#include <cstdint>

enum ClearDtype : int32_t { CLEAR_FLOAT32 = 0, CLEAR_BFLOAT16 = 1, CLEAR_FLOAT16 = 2, CLEAR_FLOAT64 = 3 };

// Which beats are global: none, those of a mask, all of them, or packed beats with lead ids (all of them too).
enum ClearForm : int32_t { CLEAR_LOCAL = 0, CLEAR_MIXED = 1, CLEAR_ALL_VISIBLE = 2, CLEAR_PACKED = 3 };

// The tensors of a problem. Forward reads the first three and writes `out`; backward reads five and writes three.
enum ClearTensor : int32_t {
  CLEAR_Q,
  CLEAR_K,
  CLEAR_V,
  CLEAR_DOUT,
  CLEAR_OUT,
  CLEAR_DQ,
  CLEAR_DK,
  CLEAR_DV,
  CLEAR_TENSORS
};

// A [B, H, N, D] tensor by its element strides; the stride of D is 1.
struct ClearRows {
  void *data;
  int64_t batch, head, row;
};

// A bool mask [beats] per sample; null means all true, batch stride 0 means shared by the batch.
struct ClearMask {
  const uint8_t *data;
  int64_t batch;
};

struct ClearProblem {
  int32_t dtype; // ClearDtype
  int32_t form;  // ClearForm
  int32_t leads; // L
  int32_t dim;   // D
  int64_t batch; // B
  int64_t heads; // H
  int64_t beats; // grid: T, beat slots per lead; packed: n, number of packed beats
  ClearRows rows[CLEAR_TENSORS];
  void *lse;           // [B, H, N] float32, or float64 for float64; +inf in padding rows
  ClearMask visible;   // CLEAR_MIXED: [L * T]
  ClearMask valid;     // [L * T], or packed [n]
  const int32_t *lead; // CLEAR_PACKED: [n] per sample
  int64_t lead_batch;  // 0 when shared by the batch
  const int64_t *seed; // device memory, one value; null without dropout
  uint32_t drop_below; // a Philox word below it drops the entry: floor(p * 2^32)
  int64_t batch_first; // index of the first sample in the caller's batch (dropout counts samples there)
  double keep_scale;   // 1 / (1 - p)
  double scale;        // factor of the logits
};

struct ClearLaunch {
  void *workspace;        // device memory of at least ClearPlan.workspace bytes, 256-byte aligned
  int64_t workspace_size; // bytes
  void *stream;           // cudaStream_t
};

// What decides how a call is carried out, besides sizes and strides.
struct ClearDevice {
  int32_t multiprocessors;
  int32_t shared_per_block, shared_per_multiprocessor; // bytes
};

enum ClearEngine : int32_t { CLEAR_TILES = 0, CLEAR_ROW_BY_ROW = 1, CLEAR_WHOLE_HEADS = 2 };

struct ClearPlan {
  int64_t workspace;                   // bytes of device memory
  int64_t chunks;                      // pieces that the class rows are cut into
  int32_t engine;                      // ClearEngine
  int32_t column_warps, column_shared; // per block of the columns kernel; shared memory in bytes
  int32_t dense_warps, dense_shared;   // per block of the dense kernels
  int32_t head_warps, head_shared;     // per block of the head kernels
};

// Each returns 0 or a cudaError_t. The plan is made for `device`, or for the current one if that is null.
int clear_cuda_plan(const ClearProblem *problem, int backward, const ClearDevice *device, ClearPlan *plan);
int clear_cuda_forward(const ClearProblem *problem, const ClearLaunch *launch);
int clear_cuda_backward(const ClearProblem *problem, const ClearLaunch *launch);
