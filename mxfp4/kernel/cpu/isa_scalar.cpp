// What every processor can run.
#include "mxfp4/kernel/cpu/isa_scalar.h"

#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dequantize_rows.h"
#include "mxfp4/kernel/cpu/quantize_rows.h"
#include "mxfp4/kernel/cpu/stream.h"

namespace mxfp4::kernel {

const Ops scalar::kOps = {quantize<Scalar>, measure<Scalar>, dequantize<Scalar>, stream<Scalar>};

}  // namespace mxfp4::kernel
