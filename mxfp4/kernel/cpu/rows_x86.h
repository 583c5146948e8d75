// What the x86 instruction sets have in common for rows.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace mxfp4::kernel {
namespace {

/// For vpshufb: byte `i` becomes bits 16 to 23 of a lane whose other bits are 0. Seven places further up it
/// is an exponent.
constexpr std::int32_t below_exponent(int i) noexcept {
  return i << 16 | INT32_C(-0x7FFF0001);  // 0x80..FFFF
}

/// Lanes l and l + 4, l and l + 2, and the last two.
float sum_of_eight(__m256 x) noexcept {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

}  // namespace
}  // namespace mxfp4::kernel
