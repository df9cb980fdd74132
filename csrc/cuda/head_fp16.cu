#include "head_launch.cuh"

namespace clear_cuda {

template HeadCost head_cost<__half>(const ClearProblem &, bool);
template cudaError_t run_head<__half>(const ColumnsArguments &, bool, cudaStream_t);

} // namespace clear_cuda
