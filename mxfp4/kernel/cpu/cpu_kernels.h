// The kernels of this folder: one table per line of base/isas.inc, made in isa_<name>.cpp.
#pragma once

#include "mxfp4/kernel/ops.h"

#define MXFP4_ISA_NAME(name, features) \
  namespace mxfp4::kernel::name {      \
  extern const Ops kOps;               \
  }
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
