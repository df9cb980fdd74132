#include "head_launch.cuh"

namespace clear_cuda {

template HeadCost head_cost<__nv_bfloat16>(const ClearProblem &, bool);
template cudaError_t run_head<__nv_bfloat16>(const ColumnsArguments &, bool, cudaStream_t);

} // namespace clear_cuda
