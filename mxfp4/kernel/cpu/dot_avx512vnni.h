// The primitives of a product in AVX-512 with VBMI and VNNI: a group's sixteen rows fill one vector.
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

struct Avx512VnniDot {
  static constexpr int kLanes = 16;
  static constexpr int kVectors = 1;
  static constexpr int kTileVectors = 4;
  static constexpr int kTileTokens[] = {3, 2, 1, 3};
  static constexpr int kDirectTokens[] = {8, 8, 4};
  static constexpr std::size_t kMostDirect = 32;
  static constexpr std::size_t kDirectFloats = 4;
  static constexpr bool kKeepsWeights = true;

  using Floats = __m512;
  using Ints = __m512i;
  using Codes = __m512i;
  using Weights = __m512i;
  using Sum = __m512i;
  using Quad = __m512i;

  static __m512i broadcast_dword(const std::byte* from) noexcept {
    std::int32_t x;
    std::memcpy(&x, from, sizeof x);
    return _mm512_set1_epi32(x);
  }

  static Codes codes(const std::byte* from) noexcept { return _mm512_loadu_si512(from); }
  // Twice the value plus 12: 0..24, the unsigned operand. vpermb takes six bits of an index: a table of
  // sixteen bytes four times ignores the upper nibble.
  template <bool kHigh>
  static Weights weights(Codes codes) noexcept {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm512_permutexvar_epi8(kHigh ? _mm512_srli_epi32(codes, 4) : codes, table);
  }
  // A sum of 32 products w * x, w with its 12, starts from -12 * sum x.
  static std::int32_t offset(const Ints8& sums) noexcept { return -12 * sum_of(sums); }
  static Sum start(const std::byte* offset) noexcept { return broadcast_dword(offset); }
  static Quad quad(const std::byte* from) noexcept { return broadcast_dword(from); }
  static void add(Sum& sum, Weights w, Quad x) noexcept { sum = _mm512_dpbusd_epi32(sum, w, x); }
  static Ints total(Sum sum) noexcept { return sum; }
  template <int kBits>
  static Ints joined(Ints high, Ints low) noexcept {
    return _mm512_add_epi32(_mm512_slli_epi32(high, kBits), low);
  }

  static Ints exponents(const std::byte* bytes) noexcept {
    const __m512i x = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
    return _mm512_slli_epi32(x, 23);
  }
  static Floats scaled(Floats x, Ints exponents) noexcept {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), exponents));
  }
  static Floats converted(Ints x) noexcept { return _mm512_cvtepi32_ps(x); }
  static Floats zero() noexcept { return _mm512_setzero_ps(); }
  static Floats broadcast(const std::byte* from) noexcept {
    return _mm512_castsi512_ps(broadcast_dword(from));
  }
  static Floats times(Floats x, Floats y) noexcept { return _mm512_mul_ps(x, y); }
  static Floats fma(Floats x, Floats y, Floats z) noexcept { return _mm512_fmadd_ps(x, y, z); }
  static Floats load(const float* from) noexcept { return _mm512_loadu_ps(from); }
  static void store(float* to, Floats x) noexcept { _mm512_storeu_ps(to, x); }
  // vpermps takes the lowest four bits of an index: the code itself.
  template <int i>
  static Floats values(const std::byte* codes) noexcept {
    const __m512 table = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f,
                                        -1.5f, -2.0f, -3.0f, -4.0f, -6.0f);
    return _mm512_permutexvar_ps(_mm512_srli_epi32(_mm512_loadu_si512(codes), 4 * i), table);
  }

  // Sixteen rows of sixteen dwords, to sixteen vectors of a dword of each row.
  static void transpose(__m512i* x) noexcept {
    __m512i a[16], b[16];
    for (int i = 0; i < 8; ++i) {
      a[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
      a[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    for (int i = 0; i < 4; ++i) {  // b[4 i + d]: dwords d, d + 4, d + 8, d + 12 of rows 4 i .. 4 i + 3
      b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
      b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
      b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
      b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    for (int d = 0; d < 4; ++d) {
      const __m512i upper[2] = {_mm512_shuffle_i32x4(b[d], b[4 + d], 0x44),
                                _mm512_shuffle_i32x4(b[8 + d], b[12 + d], 0x44)},
                    lower[2] = {_mm512_shuffle_i32x4(b[d], b[4 + d], 0xEE),
                                _mm512_shuffle_i32x4(b[8 + d], b[12 + d], 0xEE)};
      x[d] = _mm512_shuffle_i32x4(upper[0], upper[1], 0x88);
      x[4 + d] = _mm512_shuffle_i32x4(upper[0], upper[1], 0xDD);
      x[8 + d] = _mm512_shuffle_i32x4(lower[0], lower[1], 0x88);
      x[12 + d] = _mm512_shuffle_i32x4(lower[0], lower[1], 0xDD);
    }
  }
  static void pack_chunk(const std::uint8_t* codes, std::size_t code_stride, const std::uint8_t* scales,
                         std::size_t scale_stride, std::uint8_t base, std::byte* out) noexcept {
    pack_scales(scales, scale_stride, base, out);
    __m512i x[16];
    for (std::size_t row = 0; row < 16; ++row) {
      x[row] = _mm512_loadu_si512(codes + row * code_stride);
      __builtin_prefetch(codes + row * code_stride + 512);
    }
    transpose(x);
    for (std::size_t d = 0; d < 16; ++d) {  // written past the caches: they are not read soon
      _mm512_stream_si512(reinterpret_cast<__m512i*>(out + kChunkBlocks * kGroupRows + 64 * d), x[d]);
    }
  }
  static void fence() noexcept { _mm_sfence(); }
};

}  // namespace
}  // namespace mxfp4::kernel
