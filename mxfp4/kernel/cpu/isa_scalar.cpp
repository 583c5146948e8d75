// What every processor of the target can run: four lanes on x86-64 and AArch64, single instructions
// elsewhere.
#define MXFP4_LANES 4

#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dequantize_rows.h"
#include "mxfp4/kernel/cpu/quantize_rows.h"

namespace mxfp4::kernel {

const Ops scalar::kOps = {quantize, dequantize};

}  // namespace mxfp4::kernel
