// f32 multiply-adds of 512 bits, which AVX-512 with VNNI and AMX have in common.
#pragma once

#include <cstddef>

#include <immintrin.h>

namespace mxfp4::kernel {
namespace {

struct F32s512 {
  using Vector = __m512;
  static constexpr std::size_t kOperations = 32;
  static Vector start() noexcept { return _mm512_setzero_ps(); }
  static Vector operand() noexcept { return _mm512_set1_ps(0.75f); }
  static Vector add(Vector sum, Vector a) noexcept { return _mm512_fmadd_ps(a, a, sum); }
};

}  // namespace
}  // namespace mxfp4::kernel
