#include "columns_launch.cuh"

namespace clear_cuda {

using Tile = TensorTile<__half>;
template int64_t columns_shared_bytes<Tile>(const ClearProblem &, bool, int, bool);
template cudaError_t run_columns<Tile>(const ColumnsArguments &, bool, cudaStream_t);

} // namespace clear_cuda
