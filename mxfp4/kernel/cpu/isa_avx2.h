// The kernels' primitives in AVX2: the 32 words of a block fill two registers.
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

struct Avx2 {
  using Vector = __m256i;
  struct Words {
    Vector low, high;  ///< elements 0..15, 16..31
  };
  // In quarters of a block, so that packing to words, which keeps to the halves of a register, puts them in
  // order: [0..3 8..11] [4..7 12..15] [16..19 24..27] [20..23 28..31]
  struct Floats {
    Vector a, b, c, d;  ///< their bits (no array: the compilers would keep that in memory)
  };
  struct Lanes {
    Vector low, high;  ///< a number for each of blocks 0..7, 8..15
  };
  using Partial = Vector;
  struct Codes {
    Vector a, b;  ///< bytes of a block: elements [0..7 16..23 8..15 24..31]
  };
  struct Parted {
    Words magnitude, sign;  ///< the upper 16 bits without the sign, bumped; the upper 16 bits
  };

  static constexpr std::size_t kVectorBytes = 32;
  static void fence() noexcept { _mm_sfence(); }

  static Vector zero() noexcept { return _mm256_setzero_si256(); }
  static Vector mix(Vector x, Vector y) noexcept { return _mm256_xor_si256(x, y); }
  static Vector load(const void* from) noexcept {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }
  template <bool kStreaming>
  static void store(void* to, Vector x) noexcept {
    __m256i* const at = static_cast<__m256i*>(to);
    kStreaming ? _mm256_stream_si256(at, x) : _mm256_storeu_si256(at, x);
  }
  static __m256 as_float(Vector x) noexcept { return _mm256_castsi256_ps(x); }

  // --- elements ---

  static Words load(Bf16, const std::byte* from) noexcept { return {load(from), load(from + 32)}; }
  static Vector two_quarters(const std::byte* from) noexcept {
    const auto* const quarter = reinterpret_cast<const __m128i*>(from);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(quarter)),
                                   _mm_loadu_si128(quarter + 2), 1);
  }
  static Floats load(F32, const std::byte* from) noexcept {
    return {two_quarters(from), two_quarters(from + 16), two_quarters(from + 64), two_quarters(from + 80)};
  }
  // The exponent and mantissa as those of an f32 are the value times 2^-112; correcting that is exact.
  static Vector f16_bits(Vector x) noexcept {
    const Vector sign = _mm256_slli_epi32(_mm256_and_si256(x, _mm256_set1_epi32(0x8000)), 16);
    const Vector magnitude = _mm256_slli_epi32(_mm256_and_si256(x, _mm256_set1_epi32(0x7FFF)), 13);
    const Vector scaled = _mm256_castps_si256(_mm256_mul_ps(as_float(magnitude), _mm256_set1_ps(0x1p112f)));
    const Vector infinite = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x0F7FFFFF));
    return _mm256_or_si256(_mm256_or_si256(sign, scaled),
                           _mm256_and_si256(infinite, _mm256_set1_epi32(0x7F800000)));
  }
  static Floats load(F16, const std::byte* from) noexcept {
    const Vector none = zero();
    const Words x = load(Bf16{}, from);
    return {f16_bits(_mm256_unpacklo_epi16(x.low, none)), f16_bits(_mm256_unpackhi_epi16(x.low, none)),
            f16_bits(_mm256_unpacklo_epi16(x.high, none)), f16_bits(_mm256_unpackhi_epi16(x.high, none))};
  }
  static Floats floats(const Floats& x) noexcept { return x; }
  static Floats floats(const Words& x) noexcept {
    const Vector none = zero();
    return {_mm256_unpacklo_epi16(none, x.low), _mm256_unpackhi_epi16(none, x.low),
            _mm256_unpacklo_epi16(none, x.high), _mm256_unpackhi_epi16(none, x.high)};
  }

  static Vector magnitude(Vector x) noexcept { return _mm256_and_si256(x, _mm256_set1_epi32(0x7FFFFFFF)); }
  static Vector word_magnitude(Vector x) noexcept { return _mm256_and_si256(x, _mm256_set1_epi16(0x7FFF)); }

  static bool any(const Floats& x, std::uint32_t mask, std::uint32_t bits) noexcept {
    const auto same = [&](Vector part) noexcept {
      return _mm256_cmpeq_epi32(_mm256_and_si256(part, broadcast(mask)), broadcast(bits));
    };
    const Vector found =
        _mm256_or_si256(_mm256_or_si256(same(x.a), same(x.b)), _mm256_or_si256(same(x.c), same(x.d)));
    return _mm256_movemask_epi8(found) != 0;
  }
  static bool any(const Words& x, std::uint32_t mask, std::uint32_t bits) noexcept {
    const Vector m = _mm256_set1_epi16(static_cast<short>(mask >> 16));
    const Vector b = _mm256_set1_epi16(static_cast<short>(bits >> 16));
    return _mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpeq_epi16(_mm256_and_si256(x.low, m), b),
                                                _mm256_cmpeq_epi16(_mm256_and_si256(x.high, m), b))) != 0;
  }
  // To nearest, ties to even, as bf16 rounds; infinity and NaN stay what they are.
  static Vector rounded_to_bf16(Vector x) noexcept {
    const Vector odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
    const Vector carried = _mm256_add_epi32(_mm256_add_epi32(x, _mm256_set1_epi32(0x7FFF)), odd);
    const Vector finite = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x7F800000), magnitude(x));
    return _mm256_blendv_epi8(x, _mm256_and_si256(carried, _mm256_set1_epi32(INT32_C(-0x10000))), finite);
  }
  template <class Element>
  static Floats load(ThroughBf16<Element>, const std::byte* from) noexcept {
    const Floats x = load(Element{}, from);
    return {rounded_to_bf16(x.a), rounded_to_bf16(x.b), rounded_to_bf16(x.c), rounded_to_bf16(x.d)};
  }

  // --- maxima ---

  static Vector larger(Vector x, Vector y) noexcept { return _mm256_max_epu32(x, y); }
  static Partial partial_maximum(const Floats& x) noexcept {
    return larger(larger(magnitude(x.a), magnitude(x.b)), larger(magnitude(x.c), magnitude(x.d)));
  }
  // The larger of words 2i and 2i + 1 comes to stand in the upper half of lane i, where an f32 has it.
  static Partial partial_maximum(const Words& x) noexcept {
    const Vector m = _mm256_max_epu16(word_magnitude(x.low), word_magnitude(x.high));
    return _mm256_max_epu16(m, _mm256_slli_epi32(m, 16));
  }
  template <class Element>
  static Partial maximum_at(Element, const std::byte* from) noexcept {
    return partial_maximum(load(Element{}, from));
  }
  static Partial maximum_at(F32, const std::byte* from) noexcept {  // in any order
    return partial_maximum(Floats{load(from), load(from + 32), load(from + 64), load(from + 96)});
  }
  // A tree. Each step joins two vectors into one that has half as many lanes of each.
  static Vector maxima8(const Partial* x) noexcept {
    Vector a[4], b[2];
    for (int i = 0; i < 4; ++i) {
      a[i] = larger(_mm256_unpacklo_epi32(x[2 * i], x[2 * i + 1]),
                    _mm256_unpackhi_epi32(x[2 * i], x[2 * i + 1]));
    }
    for (int i = 0; i < 2; ++i) {
      b[i] = larger(_mm256_unpacklo_epi64(a[2 * i], a[2 * i + 1]),
                    _mm256_unpackhi_epi64(a[2 * i], a[2 * i + 1]));
    }
    return larger(_mm256_permute2x128_si256(b[0], b[1], 0x20), _mm256_permute2x128_si256(b[0], b[1], 0x31));
  }
  static Lanes maxima(const Partial* x) noexcept { return {maxima8(x), maxima8(x + 8)}; }

  // --- a number for each block of a group ---

  static Vector broadcast(std::uint32_t x) noexcept { return _mm256_set1_epi32(static_cast<int>(x)); }
  static Vector broadcast(const Lanes& x, int lane) noexcept {
    return _mm256_permutevar8x32_epi32(lane < 8 ? x.low : x.high,
                                       _mm256_set1_epi32(lane));  // takes the lane mod 8
  }
  static Lanes plus(const Lanes& x, std::uint32_t y) noexcept {
    return {_mm256_add_epi32(x.low, broadcast(y)), _mm256_add_epi32(x.high, broadcast(y))};
  }
  static Vector chosen(std::uint32_t lanes) noexcept {  // all ones where the bit is set
    const Vector bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(broadcast(lanes), bit), bit);
  }
  static Lanes plus_where(std::uint32_t lanes, const Lanes& x, std::uint32_t y) noexcept {
    return {_mm256_add_epi32(x.low, _mm256_and_si256(chosen(lanes), broadcast(y))),
            _mm256_add_epi32(x.high, _mm256_and_si256(chosen(lanes >> 8), broadcast(y)))};
  }
  static Lanes word_pairs(const Lanes& x) noexcept {
    return {_mm256_or_si256(x.low, _mm256_slli_epi32(x.low, 16)),
            _mm256_or_si256(x.high, _mm256_slli_epi32(x.high, 16))};
  }
  static Lanes masked(const Lanes& x, std::uint32_t bits) noexcept {
    return {_mm256_and_si256(x.low, broadcast(bits)), _mm256_and_si256(x.high, broadcast(bits))};
  }
  template <int n>
  static Lanes shifted_left(const Lanes& x) noexcept {
    return {_mm256_slli_epi32(x.low, n), _mm256_slli_epi32(x.high, n)};
  }
  template <int n>
  static Lanes shifted_right(const Lanes& x) noexcept {
    return {_mm256_srli_epi32(x.low, n), _mm256_srli_epi32(x.high, n)};
  }
  static std::uint32_t at_least8(Vector x, Vector limit) noexcept {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(as_float(_mm256_cmpeq_epi32(larger(x, limit), x))));
  }
  static std::uint32_t at_least(const Lanes& x, std::uint32_t limit) noexcept {
    return at_least8(x.low, broadcast(limit)) | at_least8(x.high, broadcast(limit)) << 8;
  }
  static void store_bytes(std::uint8_t* to, const Lanes& x) noexcept {
    const Vector byte = _mm256_set1_epi32(0xFF);
    const Vector words = _mm256_packus_epi32(_mm256_and_si256(x.low, byte), _mm256_and_si256(x.high, byte));
    const Vector ordered = _mm256_permute4x64_epi64(words, 0xD8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
  }

  // --- codes ---

  static Vector upper_words(Vector x, Vector y) noexcept {
    return _mm256_packus_epi32(_mm256_srli_epi32(x, 16), _mm256_srli_epi32(y, 16));
  }
  static Words upper_words(const Floats& x) noexcept {
    return {upper_words(x.a, x.b), upper_words(x.c, x.d)};
  }
  // Saturating to a word, bits that are not all 0 stay so.
  static Vector bumped(Vector word, Vector bits) noexcept {
    return _mm256_add_epi16(word_magnitude(word), _mm256_min_epu16(bits, _mm256_set1_epi16(1)));
  }
  static Vector bits_in(Vector x, Vector y, Vector mask) noexcept {
    return _mm256_packus_epi32(_mm256_and_si256(x, mask), _mm256_and_si256(y, mask));
  }
  // Vectors by name where a struct could be copied: g++ 12 would copy that through memory.
  static Parted parted(const Floats& x, std::uint32_t bump) noexcept {
    const Vector low = upper_words(x.a, x.b), high = upper_words(x.c, x.d), mask = broadcast(bump);
    return {{bumped(low, bits_in(x.a, x.b, mask)), bumped(high, bits_in(x.c, x.d, mask))}, {low, high}};
  }
  static Parted parted(const Words& x, std::uint32_t bump) noexcept {
    const Vector low = x.low, high = x.high, mask = _mm256_set1_epi16(static_cast<short>(bump >> 16));
    return {{bumped(low, _mm256_and_si256(low, mask)), bumped(high, _mm256_and_si256(high, mask))},
            {low, high}};
  }

  // The origin stands twice in 32 bits.
  static Words steps(const Words& magnitude, Vector origin) noexcept {
    return {_mm256_srli_epi16(_mm256_subs_epu16(magnitude.low, origin), 5),
            _mm256_srli_epi16(_mm256_subs_epu16(magnitude.high, origin), 5)};
  }

  struct ByteTable {
    Vector low, high;  ///< of index 0..15, 16..31, twice
  };
  using CodeTable = ByteTable;
  static ByteTable load_codes(const void* table) noexcept {
    const auto* const half = static_cast<const __m128i*>(table);
    return {_mm256_broadcastsi128_si256(_mm_loadu_si128(half)),
            _mm256_broadcastsi128_si256(_mm_loadu_si128(half + 1))};
  }
  static Vector look_up(Vector index, ByteTable table) noexcept {  // bit 4 of an index chooses the half
    return _mm256_blendv_epi8(_mm256_shuffle_epi8(table.low, index), _mm256_shuffle_epi8(table.high, index),
                              _mm256_slli_epi16(index, 3));
  }
  static Vector codes(const Words& steps, const Words& sign, ByteTable table) noexcept {
    const Vector code = look_up(_mm256_packus_epi16(steps.low, steps.high), table);
    const Vector negative = _mm256_packs_epi16(sign.low, sign.high);  // saturating, it keeps the sign bit
    return _mm256_and_si256(code,
                            _mm256_or_si256(_mm256_srli_epi16(negative, 4), _mm256_set1_epi8(~kE2m1Sign)));
  }
  static Codes codes(const Words& steps_a, const Words& steps_b, const Words& sign_a, const Words& sign_b,
                     ByteTable table) noexcept {
    return {codes(steps_a, sign_a, table), codes(steps_b, sign_b, table)};
  }
  // 4 bytes, of 8 elements, stay together: [a0 a2 b0 b2 | a1 a3 b1 b3] -> [a0 a2 a1 a3 | b..] -> in order
  template <bool kStreaming>
  static void store_codes(std::uint8_t* to, Codes ab) noexcept {
    const Vector weights = _mm256_set1_epi16(0x1001);  // even + 16 * odd, in words
    const Vector bytes =
        _mm256_packus_epi16(_mm256_maddubs_epi16(ab.a, weights), _mm256_maddubs_epi16(ab.b, weights));
    store<kStreaming>(to, _mm256_shuffle_epi32(_mm256_permute4x64_epi64(bytes, 0xD8), 0xD8));
  }
  template <bool kStreaming>
  static void store_codes(std::uint8_t* to, Codes ab, Codes cd) noexcept {
    store_codes<kStreaming>(to, ab);
    store_codes<kStreaming>(to + 32, cd);
  }

  // --- the search ---

  static std::int32_t excess(const Floats& x, Vector byte, bool above) noexcept {
    const Vector none = zero();
    const __m256 unit = as_float(_mm256_slli_epi32(_mm256_sub_epi32(_mm256_set1_epi32(254 + 14), byte), 23));
    const Vector one_origin = _mm256_sub_epi32(_mm256_slli_epi32(byte, 7), _mm256_set1_epi32((3 << 7) + 32));
    const Vector origin = _mm256_or_si256(one_origin, _mm256_slli_epi32(one_origin, 16));

    const Words word = upper_words(x);
    const Words step = steps({word_magnitude(word.low), word_magnitude(word.high)}, origin);
    const Vector index = _mm256_packus_epi16(step.low, step.high);
    const Vector gain = look_up(index, load_codes(kExcessBytes[above].gain));
    const Vector middle = look_up(index, load_codes(kExcessBytes[above].middle));

    const auto fixed = [&](Vector bits) noexcept {
      const Vector rounded = _mm256_cvtps_epi32(_mm256_mul_ps(as_float(magnitude(bits)), unit));
      return _mm256_and_si256(rounded, _mm256_set1_epi32(0xFFFF));
    };
    const auto half = [&](Vector v16, Vector gain16, Vector middle16) noexcept {
      return _mm256_madd_epi16(gain16, _mm256_sub_epi16(v16, middle16));
    };
    // The bytes lie as codes do: unpacking puts them in order.
    const Vector sum =
        _mm256_add_epi32(half(_mm256_packus_epi32(fixed(x.a), fixed(x.b)), _mm256_unpacklo_epi8(none, gain),
                              _mm256_unpacklo_epi8(none, middle)),
                         half(_mm256_packus_epi32(fixed(x.c), fixed(x.d)), _mm256_unpackhi_epi8(none, gain),
                              _mm256_unpackhi_epi8(none, middle)));
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
  }
  static std::int32_t excess(const Words& x, Vector byte, bool above) noexcept {
    return excess(floats(x), byte, above);
  }

  // --- errors ---

  // The codes of elements 0..15 and 16..31 as bytes.
  static Vector codes_of_block(const std::uint8_t* codes, NibbleOrder order) noexcept {
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)), nibble = _mm_set1_epi8(15);
    const __m128i low = _mm_and_si128(both, nibble), high = _mm_and_si128(_mm_srli_epi16(both, 4), nibble);
    return order == NibbleOrder::split16
               ? _mm256_set_m128i(high, low)
               : _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
  }
  // Eight codes, in the lower bytes, to f32 bits: a table of the eight magnitudes, and the sign.
  static Vector values_of(__m128i codes, Vector magnitudes) noexcept {
    const Vector code = _mm256_cvtepu8_epi32(codes);
    const Vector sign = _mm256_and_si256(_mm256_slli_epi32(code, 28), _mm256_set1_epi32(INT32_MIN));
    return _mm256_or_si256(_mm256_permutevar8x32_epi32(magnitudes, code), sign);
  }

  struct Squares {  // lanes i mod 8 of a block
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    // Squares of f32 are exact in double, so that a fused addition rounds as a separate one does.
    void add(__m256 x) noexcept {
      const __m256d first = _mm256_cvtps_pd(_mm256_castps256_ps128(x)),
                    second = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
      low = _mm256_fmadd_pd(first, first, low);
      high = _mm256_fmadd_pd(second, second, high);
    }
  };
  // (0 + 1) + (2 + 3) of both, side by side.
  static __m128d sum_of_four(__m256d a, __m256d b) noexcept {
    const __m256d pairs = _mm256_hadd_pd(a, b);
    return _mm_add_pd(_mm256_castpd256_pd128(pairs), _mm256_extractf128_pd(pairs, 1));
  }

  static BlockErrors errors(const Floats& x, const std::uint8_t* codes,
                            const std::uint32_t* values) noexcept {
    const Vector code = codes_of_block(codes, NibbleOrder::interleaved);
    const __m128i half[2] = {_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1)};
    const Vector magnitudes = load(values), most = broadcast(values[7]);
    Squares signal, noise;
    int saturated = 0;
    for (int i = 0; i < 2; ++i) {
      const Vector quarters = i == 0 ? x.a : x.c, others = i == 0 ? x.b : x.d;
      const Vector bits[2] = {_mm256_permute2x128_si256(quarters, others, 0x20),
                              _mm256_permute2x128_si256(quarters, others, 0x31)};
      const Vector q[2] = {values_of(half[i], magnitudes), values_of(_mm_srli_si128(half[i], 8), magnitudes)};
      for (int k = 0; k < 2; ++k) {
        signal.add(as_float(bits[k]));
        noise.add(_mm256_sub_ps(as_float(bits[k]), as_float(q[k])));
        const Vector above = _mm256_cmpgt_epi32(magnitude(bits[k]), most);
        saturated += __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(as_float(above))));
      }
    }
    alignas(16) double sums[2];
    _mm_store_pd(sums, _mm_add_pd(sum_of_four(signal.low, noise.low), sum_of_four(signal.high, noise.high)));
    return {sums[0], sums[1], static_cast<std::uint32_t>(saturated)};
  }

  // --- values ---

  template <bool kStreaming>
  static void expand(F32, const std::uint8_t* codes, NibbleOrder order, const std::uint32_t* values,
                     std::byte* out) noexcept {
    const Vector code = codes_of_block(codes, order);
    const __m128i first = _mm256_castsi256_si128(code), second = _mm256_extracti128_si256(code, 1);
    const Vector magnitudes = load(values);
    store<kStreaming>(out, values_of(first, magnitudes));
    store<kStreaming>(out + 32, values_of(_mm_srli_si128(first, 8), magnitudes));
    store<kStreaming>(out + 64, values_of(second, magnitudes));
    store<kStreaming>(out + 96, values_of(_mm_srli_si128(second, 8), magnitudes));
  }
  // Lower and upper bytes by a table each.
  template <bool kStreaming, class Half>
  static void expand(Half, const std::uint8_t* codes, NibbleOrder order, const std::uint16_t* values,
                     std::byte* out) noexcept {
    const Vector code = codes_of_block(codes, order);
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values)),
                  second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values + 8)),
                  byte = _mm_set1_epi16(0xFF);
    const __m128i lower = _mm_packus_epi16(_mm_and_si128(first, byte), _mm_and_si128(second, byte));
    const __m128i upper = _mm_packus_epi16(_mm_srli_epi16(first, 8), _mm_srli_epi16(second, 8));
    const Vector low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(lower), code);
    const Vector high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(upper), code);
    const Vector even = _mm256_unpacklo_epi8(low, high);  // [0..7 16..23]
    const Vector odd = _mm256_unpackhi_epi8(low, high);   // [8..15 24..31]
    store<kStreaming>(out, _mm256_permute2x128_si256(even, odd, 0x20));
    store<kStreaming>(out + 32, _mm256_permute2x128_si256(even, odd, 0x31));
  }
};

}  // namespace
}  // namespace mxfp4::kernel
