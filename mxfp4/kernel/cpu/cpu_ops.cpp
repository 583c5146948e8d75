#include "mxfp4/kernel/cpu/cpu_kernels.h"

namespace mxfp4::kernel {

const Ops& cpu_ops(Isa isa) noexcept {
  static constexpr const Ops* kTables[] = {
  // in the order of the enumeration
#define MXFP4_ISA_NAME(name, codec, linear, features) &codec::kOps,
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
  };
  return *kTables[static_cast<int>(isa)];
}

const LinearOps& cpu_linear_ops(Isa isa) noexcept {
  static constexpr const LinearOps* kTables[] = {
#define MXFP4_ISA_NAME(name, codec, linear, features) &linear::kLinearOps,
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
  };
  return *kTables[static_cast<int>(isa)];
}

const ExpertOps& cpu_expert_ops(Isa isa) noexcept {
  static constexpr const ExpertOps* kTables[] = {
#define MXFP4_ISA_NAME(name, codec, linear, features) &linear::kExpertOps,
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
  };
  return *kTables[static_cast<int>(isa)];
}

const LimitOps& cpu_limit_ops(Isa isa) noexcept {
  static constexpr const LimitOps* kTables[] = {
#define MXFP4_ISA_NAME(name, codec, linear, features) &linear::kLimitOps,
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
  };
  return *kTables[static_cast<int>(isa)];
}

}  // namespace mxfp4::kernel
