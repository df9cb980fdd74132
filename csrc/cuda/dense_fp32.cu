#include "dense_launch.cuh"

namespace clear_cuda {

template int64_t dense_shared_bytes<ScalarTile>(const ClearProblem &, bool, int, int);
template cudaError_t run_dense<ScalarTile>(const DenseArguments &, bool, cudaStream_t);

} // namespace clear_cuda
