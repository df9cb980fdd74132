// One instruction set's variant of the kernels. Compiled several times, with -DCK_ISA=<name> and that set's flags.
#include "kernels.h"

#include "checks.h"
#include "compare.h"
#include "correlate.h"
#include "curve.h"
#include "decode.h"
#include "filter.h"
#include "running.h"
#include "select.h"
#include "stored.h"
#include "tokens.h"
#include "windows.h"

namespace clear_signal {
namespace CK_ISA {
namespace {

#define CK_STRING_OF(x) #x
#define CK_STRING(x) CK_STRING_OF(x)

const Kernels kKernels = {
    CK_STRING(CK_ISA), filter,          filter_around, decode,      range,          lead_facts,   ranked,
    running_median,    running_maximum, cell_extremes, weighed_sum, slope_energy,   lead_weights, compare_leads,
    strongest,         pieces,          correlate,     cut,         window_medians, quantise,     cut_stored};

} // namespace

const Kernels &kernels() { return kKernels; }

} // namespace CK_ISA
} // namespace clear_signal
