#include "dense_launch.cuh"

namespace clear_cuda {

using Tile = TensorTile<__nv_bfloat16>;
template int64_t dense_shared_bytes<Tile>(const ClearProblem &, bool, int, int);
template cudaError_t run_dense<Tile>(const DenseArguments &, bool, cudaStream_t);

} // namespace clear_cuda
