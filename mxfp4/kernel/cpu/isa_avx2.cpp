// AVX2: eight lanes.
#define MXFP4_LANES 8

#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dequantize_rows.h"
#include "mxfp4/kernel/cpu/quantize_rows.h"

namespace mxfp4::kernel {

const Ops avx2::kOps = {quantize, dequantize};

}  // namespace mxfp4::kernel
