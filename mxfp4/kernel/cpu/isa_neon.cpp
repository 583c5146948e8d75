// NEON: every AArch64 processor has it.
#include "mxfp4/kernel/cpu/isa_neon.h"

#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dequantize_rows.h"
#include "mxfp4/kernel/cpu/quantize_rows.h"
#include "mxfp4/kernel/cpu/stream.h"

namespace mxfp4::kernel {

const Ops neon::kOps = {quantize<Neon>, measure<Neon>, dequantize<Neon>, stream<Neon>};

}  // namespace mxfp4::kernel
