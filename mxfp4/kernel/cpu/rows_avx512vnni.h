// The primitives of a product with rows in AVX-512 with VBMI and VNNI: one vector holds a chunk.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "mxfp4/kernel/cpu/dot_avx512vnni.h"
#include "mxfp4/kernel/cpu/rows_format.h"
#include "mxfp4/kernel/cpu/rows_x86.h"

namespace mxfp4::kernel {
namespace {

struct Avx512VnniRows : Avx512VnniDot {
  static constexpr std::size_t kRowTokens = 4;

  static Ints ints(const std::byte* from) noexcept { return _mm512_loadu_si512(from); }
  static Floats floats(const std::byte* from) noexcept {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(from));
  }

  template <int kShift>
  static Ints add_products(Ints sum, Weights low, Weights high, const std::byte* x) noexcept {
    const Ints begin = kShift == 0 ? sum : _mm512_setzero_si512();
    const Ints products =
        _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(begin, low, ints(x)), high, ints(x + kRowChunkCodes));
    return kShift == 0 ? products : _mm512_add_epi32(sum, _mm512_slli_epi32(products, kShift));
  }

  template <int kPart>
  static Floats chunk_scales(const std::byte* bytes) noexcept {
    constexpr std::int32_t a = below_exponent(0), b = below_exponent(1), c = below_exponent(2),
                           d = below_exponent(3);
    const __m512i places = _mm512_setr_epi32(a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d);
    const __m512i lanes = _mm512_shuffle_epi8(broadcast_dword(bytes), places);
    return _mm512_castsi512_ps(_mm512_slli_epi32(lanes, 7));
  }

  static float sum_of_lanes(const Floats (&parts)[1]) noexcept {
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(parts[0]), 1));
    return sum_of_eight(_mm256_add_ps(_mm512_castps512_ps256(parts[0]), high));
  }
};

}  // namespace
}  // namespace mxfp4::kernel
