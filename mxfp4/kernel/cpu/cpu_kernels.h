// The kernels of this folder: base/isas.inc names them; isa_<name>.cpp and linear_<name>.cpp make them.
#pragma once

#include "mxfp4/kernel/linear_ops.h"
#include "mxfp4/kernel/ops.h"

#define MXFP4_ISA_NAME(name, codec, linear, features) \
  namespace mxfp4::kernel::codec {                    \
  extern const Ops kOps;                              \
  }                                                   \
  namespace mxfp4::kernel::linear {                   \
  extern const LinearOps kLinearOps;                  \
  }
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
