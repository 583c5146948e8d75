// AVX-512 with VBMI: Intel from Ice Lake, AMD from Zen 4.
#include "mxfp4/kernel/cpu/isa_avx512.h"

#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dequantize_rows.h"
#include "mxfp4/kernel/cpu/quantize_rows.h"
#include "mxfp4/kernel/cpu/stream.h"

namespace mxfp4::kernel {

const Ops avx512::kOps = {quantize<Avx512>, measure<Avx512>, dequantize<Avx512>, stream<Avx512>};

}  // namespace mxfp4::kernel
