// The kernels' primitives in AVX-512 (F, BW, VL, DQ, VBMI): the 32 words of a block fill one register.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/cpu/block_sums.h"
#include "mxfp4/kernel/cpu/elements.h"
#include "mxfp4/kernel/cpu/quantize_plan.h"

namespace mxfp4::kernel {
namespace {

struct Avx512 {
  using Words = __m512i;  ///< 32 words, in the order of the elements
  using Lanes = __m512i;  ///< a number for each of 16 blocks
  using Partial = __m512i;
  using Codes = __m512i;  ///< bytes: 8 of block a, 8 of block b, the next 8 of a, ...
  struct Floats {
    __m512i low, high;  ///< the bits of elements 0..15, 16..31
  };
  struct Parted {
    Words magnitude, sign;  ///< the upper 16 bits without the sign, bumped; the upper 16 bits
  };

  static constexpr std::size_t kVectorBytes = 64;
  static void fence() noexcept { _mm_sfence(); }

  static __m512i zero() noexcept { return _mm512_setzero_si512(); }
  static __m512i mix(__m512i x, __m512i y) noexcept { return _mm512_xor_si512(x, y); }
  static __m512i load(const void* from) noexcept { return _mm512_loadu_si512(from); }
  static __m512 as_float(__m512i x) noexcept { return _mm512_castsi512_ps(x); }
  template <bool kStreaming>
  static void store(void* to, __m512i x) noexcept {
    kStreaming ? _mm512_stream_si512(static_cast<__m512i*>(to), x) : _mm512_storeu_si512(to, x);
  }

  // --- elements ---

  static Words load(Bf16, const std::byte* from) noexcept { return load(from); }
  static Floats load(F32, const std::byte* from) noexcept { return {load(from), load(from + 64)}; }
  static Floats load(F16, const std::byte* from) noexcept {
    const __m512i x = load(from);
    return {_mm512_castps_si512(_mm512_cvtph_ps(_mm512_castsi512_si256(x))),
            _mm512_castps_si512(_mm512_cvtph_ps(_mm512_extracti64x4_epi64(x, 1)))};
  }
  static Floats floats(Floats x) noexcept { return x; }
  static Floats floats(Words x) noexcept {
    return {_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(x)), 16),
            _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(x, 1)), 16)};
  }

  static __m512i magnitude(__m512i x) noexcept { return _mm512_and_si512(x, _mm512_set1_epi32(0x7FFFFFFF)); }

  static bool any(Floats x, std::uint32_t mask, std::uint32_t bits) noexcept {
    const __m512i m = _mm512_set1_epi32(static_cast<int>(mask)),
                  b = _mm512_set1_epi32(static_cast<int>(bits));
    return (_mm512_cmpeq_epi32_mask(_mm512_and_si512(x.low, m), b) |
            _mm512_cmpeq_epi32_mask(_mm512_and_si512(x.high, m), b)) != 0;
  }
  static bool any(Words x, std::uint32_t mask, std::uint32_t bits) noexcept {
    return _mm512_cmpeq_epi16_mask(_mm512_and_si512(x, _mm512_set1_epi16(static_cast<short>(mask >> 16))),
                                   _mm512_set1_epi16(static_cast<short>(bits >> 16))) != 0;
  }
  // To nearest, ties to even, as bf16 rounds; infinity and NaN stay what they are.
  static __m512i rounded_to_bf16(__m512i x) noexcept {
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
    const __m512i carried = _mm512_add_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(0x7FFF)), odd);
    const __mmask16 finite = _mm512_cmplt_epi32_mask(magnitude(x), _mm512_set1_epi32(0x7F800000));
    return _mm512_mask_and_epi32(x, finite, carried, _mm512_set1_epi32(INT32_C(-0x10000)));
  }
  template <class Element>
  static Floats load(ThroughBf16<Element>, const std::byte* from) noexcept {
    const Floats x = load(Element{}, from);
    return {rounded_to_bf16(x.low), rounded_to_bf16(x.high)};
  }

  // --- maxima ---

  static Partial partial_maximum(Floats x) noexcept {
    return _mm512_max_epu32(magnitude(x.low), magnitude(x.high));
  }
  // The larger of words 2i and 2i + 1 comes to stand in the upper half of lane i, where an f32 has it.
  static Partial partial_maximum(Words x) noexcept {
    const __m512i m = _mm512_and_si512(x, _mm512_set1_epi16(0x7FFF));
    return _mm512_max_epu16(m, _mm512_slli_epi32(m, 16));
  }

  template <class Element>
  static Partial maximum_at(Element, const std::byte* from) noexcept {
    return partial_maximum(load(Element{}, from));
  }
  // A tree. Each step joins two vectors into one that has half as many lanes of each:
  // [a0 a1 a2 a3], [b0 b1 b2 b3] -> [a0|a2 b0|b2 a1|a3 b1|b3], | being the larger one.
  static Lanes maxima(const Partial* x) noexcept {
    __m512i a[8], b[4], c[2];
    for (int i = 0; i < 8; ++i) {
      a[i] = _mm512_max_epu32(_mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]),
                              _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]));
    }
    for (int i = 0; i < 4; ++i) {
      b[i] = _mm512_max_epu32(_mm512_unpacklo_epi64(a[2 * i], a[2 * i + 1]),
                              _mm512_unpackhi_epi64(a[2 * i], a[2 * i + 1]));
    }
    for (int i = 0; i < 2; ++i) {
      c[i] = _mm512_max_epu32(_mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0x88),
                              _mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0xDD));
    }
    return _mm512_max_epu32(_mm512_shuffle_i32x4(c[0], c[1], 0x88), _mm512_shuffle_i32x4(c[0], c[1], 0xDD));
  }

  // --- a number for each block of a group ---

  static Lanes broadcast(std::uint32_t x) noexcept { return _mm512_set1_epi32(static_cast<int>(x)); }
  static __m512i broadcast(Lanes x, int lane) noexcept {
    return _mm512_permutexvar_epi32(_mm512_set1_epi32(lane), x);
  }
  static Lanes plus(Lanes x, std::uint32_t y) noexcept { return _mm512_add_epi32(x, broadcast(y)); }
  static Lanes plus_where(std::uint32_t lanes, Lanes x, std::uint32_t y) noexcept {
    return _mm512_mask_add_epi32(x, static_cast<__mmask16>(lanes), x, broadcast(y));
  }
  static Lanes word_pairs(Lanes x) noexcept { return _mm512_or_si512(x, _mm512_slli_epi32(x, 16)); }
  static Lanes masked(Lanes x, std::uint32_t bits) noexcept { return _mm512_and_si512(x, broadcast(bits)); }
  template <int n>
  static Lanes shifted_left(Lanes x) noexcept {
    return _mm512_slli_epi32(x, n);
  }
  template <int n>
  static Lanes shifted_right(Lanes x) noexcept {
    return _mm512_srli_epi32(x, n);
  }
  static std::uint32_t at_least(Lanes x, std::uint32_t limit) noexcept {
    return _mm512_cmpge_epu32_mask(x, broadcast(limit));
  }
  static void store_bytes(std::uint8_t* to, Lanes x) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(x));
  }

  // --- codes ---

  static Words upper_words(Floats x) noexcept {
    const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31,
                                         29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(x.low, odd, x.high);
  }
  static Words bumped(Words x, __mmask32 bump) noexcept {
    const __m512i m = _mm512_and_si512(x, _mm512_set1_epi16(0x7FFF));
    return _mm512_mask_sub_epi16(m, bump, m, _mm512_set1_epi16(-1));
  }
  static Parted parted(Floats x, std::uint32_t bump) noexcept {
    const __m512i bits = _mm512_set1_epi32(static_cast<int>(bump));
    const Words upper = upper_words(x);
    return {bumped(upper, _mm512_kunpackw(_mm512_test_epi32_mask(x.high, bits),
                                          _mm512_test_epi32_mask(x.low, bits))),
            upper};
  }
  static Parted parted(Words x, std::uint32_t bump) noexcept {
    return {bumped(x, _mm512_test_epi16_mask(x, _mm512_set1_epi16(static_cast<short>(bump >> 16)))), x};
  }

  static Words steps(Words magnitude, __m512i origin) noexcept {
    return _mm512_srli_epi16(_mm512_subs_epu16(magnitude, origin), 5);
  }

  struct CodeTable {
    __m512i by_step;  ///< twice
  };
  static CodeTable load_codes(const std::uint8_t* table) noexcept {
    return {_mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(table)))};
  }
  static Codes codes(Words steps_a, Words steps_b, Words sign_a, Words sign_b, CodeTable table) noexcept {
    const __m512i step = _mm512_packus_epi16(steps_a, steps_b);
    const __m512i sign = _mm512_packs_epi16(sign_a, sign_b);  // saturating, it keeps the sign bit
    const __m512i code = _mm512_permutexvar_epi8(step, table.by_step);
    constexpr int kAndUnlessMasked = 0xD0;  // a & (b | ~c)
    return _mm512_ternarylogic_epi32(code, _mm512_srli_epi16(sign, 4), _mm512_set1_epi8(kE2m1Sign),
                                     kAndUnlessMasked);
  }
  template <bool kStreaming>
  static void store_codes(std::uint8_t* to, Codes ab, Codes cd) noexcept {
    alignas(64) static constexpr std::uint8_t kOrder[64] = {
        0,  2,  4,  6,  16, 18, 20, 22, 32,  34,  36,  38,  48,  50,  52,  54,   // block a
        8,  10, 12, 14, 24, 26, 28, 30, 40,  42,  44,  46,  56,  58,  60,  62,   // b
        64, 66, 68, 70, 80, 82, 84, 86, 96,  98,  100, 102, 112, 114, 116, 118,  // c
        72, 74, 76, 78, 88, 90, 92, 94, 104, 106, 108, 110, 120, 122, 124, 126};
    const __m512i weights = _mm512_set1_epi16(0x1001);  // even + 16 * odd, in words
    store<kStreaming>(to, _mm512_permutex2var_epi8(_mm512_maddubs_epi16(ab, weights), load(kOrder),
                                                   _mm512_maddubs_epi16(cd, weights)));
  }

  // --- the search ---

  static std::int32_t excess(Words magnitude, Words v, __m512i byte, bool above) noexcept {
    const __m512i origin = _mm512_sub_epi16(_mm512_slli_epi16(byte, 7), _mm512_set1_epi16((3 << 7) + 32));
    const __m512i step = steps(magnitude, origin);
    const __m512i gain = _mm512_permutexvar_epi16(step, load(kExcess[above].gain));
    const __m512i middle = _mm512_permutexvar_epi16(step, load(kExcess[above].middle));
    return _mm512_reduce_add_epi32(_mm512_madd_epi16(gain, _mm512_sub_epi16(v, middle)));
  }
  static std::int32_t excess(Floats x, __m512i byte, bool above) noexcept {
    const __m512i even = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30,
                                          28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512 unit = as_float(_mm512_slli_epi32(_mm512_sub_epi32(_mm512_set1_epi32(254 + 14), byte), 23));
    const __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(as_float(magnitude(x.low)), unit));
    const __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(as_float(magnitude(x.high)), unit));
    return excess(bumped(upper_words(x), 0), _mm512_permutex2var_epi16(low, even, high), word_pairs(byte),
                  above);
  }
  // v = mantissa * 2^(exponent - byte + 7); where that is not positive the gain is 0.
  static std::int32_t excess(Words x, __m512i byte, bool above) noexcept {
    const __m512i m = bumped(x, 0);
    const __m512i shift =
        _mm512_sub_epi16(_mm512_srli_epi16(m, 7), _mm512_sub_epi16(word_pairs(byte), _mm512_set1_epi16(7)));
    const __m512i mantissa =
        _mm512_or_si512(_mm512_and_si512(m, _mm512_set1_epi16(0x7F)), _mm512_set1_epi16(0x80));
    return excess(m, _mm512_sllv_epi16(mantissa, shift), word_pairs(byte), above);
  }

  // --- errors ---

  static void codes_of_block(const std::uint8_t* codes, NibbleOrder order, __m128i* first,
                             __m128i* second) noexcept {
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)), nibble = _mm_set1_epi8(15);
    const __m128i low = _mm_and_si128(both, nibble), high = _mm_and_si128(_mm_srli_epi16(both, 4), nibble);
    *first = order == NibbleOrder::split16 ? low : _mm_unpacklo_epi8(low, high);
    *second = order == NibbleOrder::split16 ? high : _mm_unpackhi_epi8(low, high);
  }

  struct Squares {  // lanes i mod 8 of a block
    __m512d sum = _mm512_setzero_pd();
    // Squares of f32 are exact in double, so that a fused addition rounds as a separate one does.
    void add(__m512 x) noexcept {
      const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x)),
                    high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
      sum = _mm512_fmadd_pd(low, low, sum);
      sum = _mm512_fmadd_pd(high, high, sum);
    }
  };

  // ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)) of both, side by side.
  static BlockErrors total(__m512d a, __m512d b) noexcept {
    const __m512d pairs = _mm512_add_pd(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
    const __m512d fours = _mm512_add_pd(pairs, _mm512_shuffle_f64x2(pairs, pairs, 0xB1));
    const __m512d all = _mm512_add_pd(fours, _mm512_shuffle_f64x2(fours, fours, 0x4E));
    alignas(16) double result[2];
    _mm_store_pd(result, _mm512_castpd512_pd128(all));
    return {result[0], result[1], 0};
  }

  static BlockErrors errors(Floats x, const std::uint8_t* codes, const std::uint32_t* values) noexcept {
    __m128i first, second;
    codes_of_block(codes, NibbleOrder::interleaved, &first, &second);
    const __m512 value = as_float(load(values));
    const __m512 low = as_float(x.low), high = as_float(x.high);
    Squares signal, noise;
    signal.add(low);
    signal.add(high);
    noise.add(_mm512_sub_ps(low, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(first), value)));
    noise.add(_mm512_sub_ps(high, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(second), value)));
    BlockErrors errors = total(signal.sum, noise.sum);
    const __m512i most = _mm512_set1_epi32(static_cast<int>(values[7]));
    errors.saturated =
        static_cast<std::uint32_t>(__builtin_popcount(_mm512_cmpgt_epi32_mask(magnitude(x.low), most)) +
                                   __builtin_popcount(_mm512_cmpgt_epi32_mask(magnitude(x.high), most)));
    return errors;
  }

  // --- values ---

  template <bool kStreaming>
  static void expand(F32, const std::uint8_t* codes, NibbleOrder order, const std::uint32_t* values,
                     std::byte* out) noexcept {
    __m128i first, second;
    codes_of_block(codes, order, &first, &second);
    const __m512i value = load(values);
    store<kStreaming>(out, _mm512_permutexvar_epi32(_mm512_cvtepu8_epi32(first), value));
    store<kStreaming>(out + 64, _mm512_permutexvar_epi32(_mm512_cvtepu8_epi32(second), value));
  }
  template <bool kStreaming, class Half>
  static void expand(Half, const std::uint8_t* codes, NibbleOrder order, const std::uint16_t* values,
                     std::byte* out) noexcept {
    __m128i first, second;
    codes_of_block(codes, order, &first, &second);
    const __m512i value =
        _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)));
    const __m512i code = _mm512_cvtepu8_epi16(_mm256_set_m128i(second, first));
    store<kStreaming>(out, _mm512_permutexvar_epi16(code, value));
  }
};

}  // namespace
}  // namespace mxfp4::kernel
