#include "columns_launch.cuh"

namespace clear_cuda {

template int64_t columns_shared_bytes<ScalarTile>(const ClearProblem &, bool, int, bool);
template cudaError_t run_columns<ScalarTile>(const ColumnsArguments &, bool, cudaStream_t);

} // namespace clear_cuda
