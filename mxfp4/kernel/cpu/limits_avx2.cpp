// AVX2 has no dot product of its own: vpmaddubsw multiplies bytes and adds two neighbours. What else a sum
// needs is not counted against it, so that nothing can be faster than this.
#include "mxfp4/kernel/cpu/limits_avx2.h"

#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/isa_avx2.h"
#include "mxfp4/kernel/cpu/limits.h"

namespace mxfp4::kernel {
namespace {

struct Int8s {
  using Vector = __m256i;
  static constexpr std::size_t kOperations = 64;
  static Vector start() noexcept { return _mm256_set1_epi8(11); }
  static Vector operand() noexcept { return _mm256_set1_epi8(-3); }
  static Vector add(Vector sum, Vector a) noexcept { return _mm256_maddubs_epi16(sum, a); }
};

}  // namespace

const LimitOps avx2::kLimitOps = {read<Avx2>, run_chains<Int8s>, run_chains<F32s256>};

}  // namespace mxfp4::kernel
