// The primitives of a product in AVX2: eight rows a vector, two vectors a group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

#include "mxfp4/kernel/cpu/eight.h"
#include "mxfp4/kernel/cpu/pack_x86.h"
#include "mxfp4/kernel/cpu/packed.h"

namespace mxfp4::kernel {
namespace {

struct Avx2Dot {
  static constexpr int kLanes = 8;
  static constexpr int kVectors = 2;
  static constexpr int kTileVectors = 2;
  static constexpr int kTileTokens[] = {3, 3, 2, 4};
  static constexpr int kDirectTokens[] = {2, 1, 1};
  static constexpr std::size_t kMostDirect = 2;
  static constexpr std::size_t kDirectFloats = 1;
  static constexpr bool kKeepsWeights = false;

  using Floats = __m256;
  using Ints = __m256i;
  using Codes = __m256i;
  using Weights = __m256i;
  using Sum = __m256i;  ///< words: products 0 and 1 of each four in the lower, 2 and 3 in the upper
  using Quad = __m256i;

  static __m256i load_bytes(const std::byte* from) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static __m256i broadcast_dword(const std::byte* from) noexcept {
    std::int32_t x;
    std::memcpy(&x, from, sizeof x);
    return _mm256_set1_epi32(x);
  }

  static Codes codes(const std::byte* from) noexcept { return load_bytes(from); }
  // Twice the value plus 12: 0..24, the unsigned operand of vpmaddubsw.
  template <bool kHigh>
  static Weights weights(Codes codes) noexcept {
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m256i nibbles = kHigh ? _mm256_srli_epi16(codes, 4) : codes;
    return _mm256_shuffle_epi8(table, _mm256_and_si256(nibbles, _mm256_set1_epi8(15)));
  }
  // A word's sum of 16 products (w - 12) * x lies within 16 * 12 * 128 = 24576. With w instead it may wrap
  // around, and starting from -12 * sum x, wrapped as well, brings it back. One vpmaddubsw makes 2 * 24 * 128
  // at the most.
  static std::int32_t offset(const Ints8& sums) noexcept {
    const Ints8 four = sums + __builtin_shufflevector(sums, sums, 4, 5, 6, 7, 0, 1, 2, 3);
    const Ints8 pairs = (four + __builtin_shufflevector(four, four, 1, 0, 3, 2, 5, 4, 7, 6)) * -12;
    return (pairs[0] & 0xFFFF) | static_cast<std::int32_t>(static_cast<std::uint32_t>(pairs[2]) << 16);
  }
  static Sum start(const std::byte* offset) noexcept { return broadcast_dword(offset); }
  static Quad quad(const std::byte* from) noexcept { return broadcast_dword(from); }
  static void add(Sum& sum, Weights w, Quad x) noexcept {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, x));
    asm("" : "+x"(sum));  // else g++ makes all products of a block first, and has no registers for them
  }
  static Ints total(Sum sum) noexcept { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
  template <int kBits>
  static Ints joined(Ints high, Ints low) noexcept {
    return _mm256_add_epi32(_mm256_slli_epi32(high, kBits), low);
  }

  static Ints exponents(const std::byte* bytes) noexcept {
    const __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
    return _mm256_slli_epi32(x, 23);
  }
  static Floats scaled(Floats x, Ints exponents) noexcept {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponents));
  }
  static Floats converted(Ints x) noexcept { return _mm256_cvtepi32_ps(x); }
  static Floats zero() noexcept { return _mm256_setzero_ps(); }
  static Floats broadcast(const std::byte* from) noexcept {
    return _mm256_castsi256_ps(broadcast_dword(from));
  }
  static Floats times(Floats x, Floats y) noexcept { return _mm256_mul_ps(x, y); }
  static Floats fma(Floats x, Floats y, Floats z) noexcept { return _mm256_fmadd_ps(x, y, z); }
  static Floats load(const float* from) noexcept { return _mm256_loadu_ps(from); }
  static void store(float* to, Floats x) noexcept { _mm256_storeu_ps(to, x); }
  // vpermps looks up the magnitude by the lowest three bits; the fourth is the sign.
  template <int i>
  static Floats values(const std::byte* codes) noexcept {
    const __m256 magnitudes = _mm256_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f);
    const __m256i bytes = load_bytes(codes);
    const __m256i sign = _mm256_and_si256(_mm256_slli_epi32(bytes, 28 - 4 * i), _mm256_set1_epi32(INT32_MIN));
    return _mm256_or_ps(_mm256_permutevar8x32_ps(magnitudes, _mm256_srli_epi32(bytes, 4 * i)),
                        _mm256_castsi256_ps(sign));
  }

  // Eight rows of eight dwords, to eight vectors of a dword of each row.
  static void transpose(__m256i* x) noexcept {
    __m256i a[8], b[8];
    for (int i = 0; i < 4; ++i) {
      a[2 * i] = _mm256_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
      a[2 * i + 1] = _mm256_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i) {  // b[4 i + d]: dwords d and d + 4 of rows 4 i .. 4 i + 3
      b[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
      b[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
      b[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
      b[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    for (int d = 0; d < 4; ++d) {
      x[d] = _mm256_permute2x128_si256(b[d], b[4 + d], 0x20);
      x[4 + d] = _mm256_permute2x128_si256(b[d], b[4 + d], 0x31);
    }
  }
  static void pack_chunk(const std::uint8_t* codes, std::size_t code_stride, const std::uint8_t* scales,
                         std::size_t scale_stride, std::uint8_t base, std::byte* out) noexcept {
    pack_scales(scales, scale_stride, base, out);
    out += kChunkBlocks * kGroupRows;
    for (std::size_t pair = 0; pair < 2; ++pair) {    // of blocks
      for (std::size_t half = 0; half < 2; ++half) {  // of the rows
        __m256i x[8];
        for (std::size_t row = 0; row < 8; ++row) {
          const std::uint8_t* const from = codes + (8 * half + row) * code_stride + 32 * pair;
          x[row] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        }
        transpose(x);
        for (std::size_t d = 0; d < 8; ++d) {
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (8 * pair + d) * 64 + 32 * half), x[d]);
        }
      }
    }
  }
  static void fence() noexcept {}
};

}  // namespace
}  // namespace mxfp4::kernel
