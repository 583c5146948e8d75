// AVX2 with FMA: Intel from Haswell, AMD from Zen.
#include "mxfp4/kernel/cpu/isa_avx2.h"

#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dequantize_rows.h"
#include "mxfp4/kernel/cpu/quantize_rows.h"
#include "mxfp4/kernel/cpu/stream.h"

namespace mxfp4::kernel {

const Ops avx2::kOps = {quantize<Avx2>, measure<Avx2>, dequantize<Avx2>, stream<Avx2>};

}  // namespace mxfp4::kernel
