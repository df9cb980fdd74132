#include "kernels.h"
#include "launch.cuh"
#include "rows_backward.cuh"
#include "rows_forward.cuh"

namespace clear_cuda {

template <typename A> cudaError_t run_rows(RowsArguments args, bool backward, cudaStream_t stream) {
  const ClearProblem &p = args.problem;
  const int64_t heads = p.batch * p.heads;
  args.class_blocks = heads * p.leads;
  const int64_t blocks = args.class_blocks + (heads * beat_count(p) + kRowWarps - 1) / kRowWarps;
  if (!backward) return launch(rows_forward<A>, blocks, kRowThreads, 0, stream, args);
  const cudaError_t status = launch(rows_backward_queries<A>, blocks, kRowThreads, 0, stream, args);
  return status != cudaSuccess ? status : launch(rows_backward_keys<A>, blocks, kRowThreads, 0, stream, args);
}

template cudaError_t run_rows<float>(RowsArguments, bool, cudaStream_t);
template cudaError_t run_rows<double>(RowsArguments, bool, cudaStream_t);

} // namespace clear_cuda
