// NEON without a dot product: smlal multiplies eight bytes and adds the products to eight words.
#include "mxfp4/kernel/cpu/limits_neon.h"

#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/isa_neon.h"
#include "mxfp4/kernel/cpu/limits.h"

namespace mxfp4::kernel {
namespace {

struct Int8s {
  using Vector = int16x8_t;
  static constexpr std::size_t kOperations = 16;
  static Vector start() noexcept { return vdupq_n_s16(0); }
  static int8x8_t operand() noexcept { return vdup_n_s8(3); }
  static Vector add(Vector sum, int8x8_t a) noexcept { return vmlal_s8(sum, a, a); }
};

}  // namespace

const LimitOps neon::kLimitOps = {read<Neon>, run_chains<Int8s>, run_chains<F32s128>};

}  // namespace mxfp4::kernel
