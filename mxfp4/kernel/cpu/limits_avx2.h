// f32 multiply-adds of 256 bits, which AVX2 and AVX-VNNI have in common.
#pragma once

#include <cstddef>

#include <immintrin.h>

namespace mxfp4::kernel {
namespace {

struct F32s256 {
  using Vector = __m256;
  static constexpr std::size_t kOperations = 16;
  static Vector start() noexcept { return _mm256_setzero_ps(); }
  static Vector operand() noexcept { return _mm256_set1_ps(0.75f); }
  static Vector add(Vector sum, Vector a) noexcept { return _mm256_fmadd_ps(a, a, sum); }
};

}  // namespace
}  // namespace mxfp4::kernel
