// AVX-512 with VNNI: vpdpbusd and vfmadd231ps of 512 bits.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/isa_avx512.h"
#include "mxfp4/kernel/cpu/limits.h"
#include "mxfp4/kernel/cpu/limits_avx512.h"

namespace mxfp4::kernel {
namespace {

struct Int8s {
  using Vector = __m512i;
  static constexpr std::size_t kOperations = 128;
  static Vector start() noexcept { return _mm512_setzero_si512(); }
  static Vector operand() noexcept { return _mm512_set1_epi8(3); }
  static Vector add(Vector sum, Vector a) noexcept { return _mm512_dpbusd_epi32(sum, a, a); }
};

}  // namespace

const LimitOps avx512vnni::kLimitOps = {read<Avx512>, run_chains<Int8s>, run_chains<F32s512>};

}  // namespace mxfp4::kernel
