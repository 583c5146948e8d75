// The primitives of a product with rows in AVX2: two vectors hold a chunk.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "mxfp4/kernel/cpu/dot_avx2.h"
#include "mxfp4/kernel/cpu/rows_format.h"
#include "mxfp4/kernel/cpu/rows_x86.h"

namespace mxfp4::kernel {
namespace {

struct Avx2Rows : Avx2Dot {
  static constexpr std::size_t kRowTokens = 4;

  static Ints ints(const std::byte* from) noexcept { return load_bytes(from); }
  static Floats floats(const std::byte* from) noexcept {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(from));
  }

  // A word sums four products: 4 * 24 * 128 at the most. vpmaddwd adds two words and shifts them.
  template <int kShift>
  static Ints add_products(Ints sum, Weights low, Weights high, const std::byte* x) noexcept {
    const __m256i words = _mm256_add_epi16(_mm256_maddubs_epi16(low, load_bytes(x)),
                                           _mm256_maddubs_epi16(high, load_bytes(x + kRowChunkCodes)));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1 << kShift)));
  }

  template <int kPart>
  static Floats chunk_scales(const std::byte* bytes) noexcept {
    constexpr std::int32_t a = below_exponent(2 * kPart), b = below_exponent(2 * kPart + 1);
    const __m256i places = _mm256_setr_epi32(a, a, a, a, b, b, b, b);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_shuffle_epi8(broadcast_dword(bytes), places), 7));
  }

  static float sum_of_lanes(const Floats (&parts)[2]) noexcept {
    return sum_of_eight(_mm256_add_ps(parts[0], parts[1]));
  }
};

}  // namespace
}  // namespace mxfp4::kernel
