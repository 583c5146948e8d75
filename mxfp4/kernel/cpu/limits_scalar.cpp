// Plain loops, as fast as the compiler makes them.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/isa_scalar.h"
#include "mxfp4/kernel/cpu/limits.h"

namespace mxfp4::kernel {
namespace {

constexpr std::size_t kCount = 1024;  // operands of a round, which stay in the first cache

double int8_dots(std::size_t rounds) noexcept {
  alignas(64) std::int8_t a[kCount], b[kCount];
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < kCount; ++i) a[i] = 11, b[i] = -3;
  for (std::size_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+m"(a), "+m"(b), "+r"(sum));  // other values, for all that the compiler knows
    std::int32_t dot = 0;
    for (std::size_t i = 0; i < kCount; ++i) dot += a[i] * b[i];
    sum ^= dot;
  }
  asm volatile("" : : "r"(sum));
  return static_cast<double>(rounds * kCount * 2);
}

double f32_fmas(std::size_t rounds) noexcept {
  constexpr std::size_t kSums = 32;
  alignas(64) float a[kCount], b[kCount], sums[kSums] = {};
  for (std::size_t i = 0; i < kCount; ++i) a[i] = 0.75f, b[i] = 1.5f;
  for (std::size_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+m"(a), "+m"(b));
    for (std::size_t i = 0; i < kCount; i += kSums) {
      for (std::size_t k = 0; k < kSums; ++k) sums[k] += a[i + k] * b[i + k];
    }
  }
  asm volatile("" : : "m"(sums));
  return static_cast<double>(rounds * kCount * 2);
}

}  // namespace

const LimitOps scalar::kLimitOps = {read<Scalar>, int8_dots, f32_fmas};

}  // namespace mxfp4::kernel
