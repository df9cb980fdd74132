#include "columns_launch.cuh"

namespace clear_cuda {

template ColumnsCost columns_cost<ScalarTile>(const ClearProblem &, bool, int, bool);
template cudaError_t run_columns<ScalarTile>(const ColumnsArguments &, bool, cudaStream_t);

} // namespace clear_cuda
