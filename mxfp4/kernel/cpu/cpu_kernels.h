// The kernels of this folder: base/isas.inc names them; {isa,linear,limits}_<name>.cpp make
// them. What limits a kernel for layers is measured with the same instructions.
#pragma once

#include "mxfp4/kernel/expert_ops.h"
#include "mxfp4/kernel/limit_ops.h"
#include "mxfp4/kernel/linear_ops.h"
#include "mxfp4/kernel/ops.h"

#define MXFP4_ISA_NAME(name, codec, linear, features) \
  namespace mxfp4::kernel::codec {                    \
  extern const Ops kOps;                              \
  }                                                   \
  namespace mxfp4::kernel::linear {                   \
  extern const LinearOps kLinearOps;                  \
  extern const ExpertOps kExpertOps;                  \
  extern const LimitOps kLimitOps;                    \
  }
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
