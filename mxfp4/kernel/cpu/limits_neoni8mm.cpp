// NEON with its matrix product: smmla.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/isa_neon.h"
#include "mxfp4/kernel/cpu/limits.h"
#include "mxfp4/kernel/cpu/limits_neon.h"

namespace mxfp4::kernel {
namespace {

struct Int8s {
  using Vector = int32x4_t;
  static constexpr std::size_t kOperations = 64;
  static Vector start() noexcept { return vdupq_n_s32(0); }
  static int8x16_t operand() noexcept { return vdupq_n_s8(3); }
  static Vector add(Vector sum, int8x16_t a) noexcept { return vmmlaq_s32(sum, a, a); }
};

}  // namespace

const LimitOps neoni8mm::kLimitOps = {read<Neon>, run_chains<Int8s>, run_chains<F32s128>};

}  // namespace mxfp4::kernel
