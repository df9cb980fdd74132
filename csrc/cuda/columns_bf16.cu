#include "columns_launch.cuh"

namespace clear_cuda {

using Tile = TensorTile<__nv_bfloat16>;
template ColumnsCost columns_cost<Tile>(const ClearProblem &, bool, int, bool);
template cudaError_t run_columns<Tile>(const ColumnsArguments &, bool, cudaStream_t);

} // namespace clear_cuda
