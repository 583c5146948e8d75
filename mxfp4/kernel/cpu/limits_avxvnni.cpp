// AVX-VNNI: vpdpbusd of 256 bits.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/isa_avx2.h"
#include "mxfp4/kernel/cpu/limits.h"
#include "mxfp4/kernel/cpu/limits_avx2.h"

namespace mxfp4::kernel {
namespace {

struct Int8s {
  using Vector = __m256i;
  static constexpr std::size_t kOperations = 64;
  static Vector start() noexcept { return _mm256_setzero_si256(); }
  static Vector operand() noexcept { return _mm256_set1_epi8(3); }
  static Vector add(Vector sum, Vector a) noexcept { return _mm256_dpbusd_avx_epi32(sum, a, a); }
};

}  // namespace

const LimitOps avxvnni::kLimitOps = {read<Avx2>, run_chains<Int8s>, run_chains<F32s256>};

}  // namespace mxfp4::kernel
