// The kernels' primitives in NEON, as AArch64 has it: the 32 words of a block fill four registers of 32.
#pragma once

#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/cpu/block_sums.h"
#include "mxfp4/kernel/cpu/elements.h"
#include "mxfp4/kernel/cpu/quantize_plan.h"

namespace mxfp4::kernel {
namespace {

struct Neon {
  using Vector = uint32x4_t;
  using Bytes = uint8x16_t;
  struct Words {
    uint16x8_t a, b, c, d;  ///< elements 0..7, 8..15, 16..23, 24..31
  };
  struct Eight {
    Vector low, high;
  };
  struct Floats {
    Eight a, b, c, d;  ///< their bits
  };
  struct Lanes {
    Vector at[4];  ///< a number for each of 16 blocks
  };
  using Partial = Vector;
  struct Codes {
    Bytes a, b;  ///< of two blocks, packed
  };
  struct Parted {
    Words magnitude, sign;  ///< the upper 16 bits without the sign, bumped; the upper 16 bits
  };

  static constexpr std::size_t kVectorBytes = 16;
  static void fence() noexcept {}

  static Bytes zero() noexcept { return vdupq_n_u8(0); }
  static Bytes mix(Bytes x, Bytes y) noexcept { return veorq_u8(x, y); }
  static Bytes load(const void* from) noexcept { return vld1q_u8(static_cast<const std::uint8_t*>(from)); }
  // Streaming or not: no intrinsic is a store past the caches.
  template <bool kStreaming>
  static void store(void* to, Bytes x) noexcept {
    vst1q_u8(static_cast<std::uint8_t*>(to), x);
  }

  static uint16x8_t load_words(const void* from) noexcept { return vreinterpretq_u16_u8(load(from)); }
  static Vector load_bits(const void* from) noexcept { return vreinterpretq_u32_u8(load(from)); }
  static uint16x8_t as_words(Vector x) noexcept { return vreinterpretq_u16_u32(x); }
  static Bytes as_bytes(uint16x8_t x) noexcept { return vreinterpretq_u8_u16(x); }
  static float32x4_t as_float(Vector x) noexcept { return vreinterpretq_f32_u32(x); }

  /// A function of each eighth of a block, or pair of them.
  template <class Whole, class Part, class Function>
  [[gnu::always_inline]] static Whole map(const Part& x, Function function) noexcept {
    return {function(x.a), function(x.b), function(x.c), function(x.d)};
  }

  // --- elements ---

  static Words load(Bf16, const std::byte* from) noexcept {
    return {load_words(from), load_words(from + 16), load_words(from + 32), load_words(from + 48)};
  }
  static Eight load_eight(const std::byte* from) noexcept { return {load_bits(from), load_bits(from + 16)}; }
  static Floats load(F32, const std::byte* from) noexcept {
    return {load_eight(from), load_eight(from + 32), load_eight(from + 64), load_eight(from + 96)};
  }
  static Floats load(F16, const std::byte* from) noexcept {
    return map<Floats>(load(Bf16{}, from), [](uint16x8_t x) noexcept -> Eight {
      const float16x8_t halves = vreinterpretq_f16_u16(x);
      return {vreinterpretq_u32_f32(vcvt_f32_f16(vget_low_f16(halves))),
              vreinterpretq_u32_f32(vcvt_high_f32_f16(halves))};
    });
  }
  static Floats floats(const Floats& x) noexcept { return x; }
  static Floats floats(const Words& x) noexcept {
    return map<Floats>(x, [](uint16x8_t words) noexcept -> Eight {
      const uint16x8_t none = vdupq_n_u16(0);
      return {vreinterpretq_u32_u16(vzip1q_u16(none, words)), vreinterpretq_u32_u16(vzip2q_u16(none, words))};
    });
  }

  static Vector magnitude(Vector x) noexcept { return vandq_u32(x, broadcast(0x7FFFFFFF)); }
  static uint16x8_t word_magnitude(uint16x8_t x) noexcept { return vandq_u16(x, vdupq_n_u16(0x7FFF)); }
  static uint16x8_t upper_words(Eight x) noexcept { return vuzp2q_u16(as_words(x.low), as_words(x.high)); }
  static uint16x8_t lower_words(Eight x) noexcept { return vuzp1q_u16(as_words(x.low), as_words(x.high)); }

  static bool any(const Floats& x, std::uint32_t mask, std::uint32_t bits) noexcept {
    const Words found = map<Words>(x, [&](Eight part) noexcept {
      return lower_words({vceqq_u32(vandq_u32(part.low, broadcast(mask)), broadcast(bits)),
                          vceqq_u32(vandq_u32(part.high, broadcast(mask)), broadcast(bits))});
    });
    return any(found);
  }
  static bool any(const Words& x, std::uint32_t mask, std::uint32_t bits) noexcept {
    const uint16x8_t m = vdupq_n_u16(static_cast<std::uint16_t>(mask >> 16));
    const uint16x8_t b = vdupq_n_u16(static_cast<std::uint16_t>(bits >> 16));
    return any(map<Words>(x, [&](uint16x8_t part) noexcept { return vceqq_u16(vandq_u16(part, m), b); }));
  }
  static bool any(const Words& found) noexcept {
    return vmaxvq_u16(vorrq_u16(vorrq_u16(found.a, found.b), vorrq_u16(found.c, found.d))) != 0;
  }
  // To nearest, ties to even, as bf16 rounds; infinity and NaN stay what they are.
  static Vector rounded_to_bf16(Vector x) noexcept {
    const Vector odd = vandq_u32(vshrq_n_u32(x, 16), broadcast(1));
    const Vector carried = vaddq_u32(vaddq_u32(x, broadcast(0x7FFF)), odd);
    const Vector finite = vcltq_u32(magnitude(x), broadcast(kInfinityBits));
    return vbslq_u32(finite, vandq_u32(carried, broadcast(0xFFFF0000)), x);
  }
  template <class Element>
  static Floats load(ThroughBf16<Element>, const std::byte* from) noexcept {
    return map<Floats>(load(Element{}, from), [](Eight x) noexcept -> Eight {
      return {rounded_to_bf16(x.low), rounded_to_bf16(x.high)};
    });
  }

  // --- maxima ---

  static Vector larger(Vector x, Vector y) noexcept { return vmaxq_u32(x, y); }
  static Partial partial_maximum(Eight x) noexcept { return larger(magnitude(x.low), magnitude(x.high)); }
  [[gnu::always_inline]] static Partial partial_maximum(const Floats& x) noexcept {
    return larger(larger(partial_maximum(x.a), partial_maximum(x.b)),
                  larger(partial_maximum(x.c), partial_maximum(x.d)));
  }
  // The larger of words 2i and 2i + 1 comes to stand in the upper half of lane i, where an f32 has it.
  [[gnu::always_inline]] static Partial partial_maximum(const Words& x) noexcept {
    const Words m = map<Words>(x, word_magnitude);
    const uint16x8_t most = vmaxq_u16(vmaxq_u16(m.a, m.b), vmaxq_u16(m.c, m.d));
    return vreinterpretq_u32_u16(vmaxq_u16(most, as_words(vshlq_n_u32(vreinterpretq_u32_u16(most), 16))));
  }
  template <class Element>
  [[gnu::always_inline]] static Partial maximum_at(Element, const std::byte* from) noexcept {
    return partial_maximum(load(Element{}, from));
  }
  static Lanes maxima(const Partial* x) noexcept {  // of neighbouring lanes, twice
    const auto four = [](const Partial* y) noexcept {
      return vpmaxq_u32(vpmaxq_u32(y[0], y[1]), vpmaxq_u32(y[2], y[3]));
    };
    return {{four(x), four(x + 4), four(x + 8), four(x + 12)}};
  }

  // --- a number for each block of a group ---

  template <class Function>
  static Lanes map(const Lanes& x, Function function) noexcept {
    return {{function(x.at[0]), function(x.at[1]), function(x.at[2]), function(x.at[3])}};
  }
  static Vector broadcast(std::uint32_t x) noexcept { return vdupq_n_u32(x); }
  static Vector broadcast(const Lanes& x, int lane) noexcept { return broadcast(x.at[lane / 4][lane % 4]); }
  static Lanes plus(const Lanes& x, std::uint32_t y) noexcept {
    return map(x, [&](Vector part) noexcept { return vaddq_u32(part, broadcast(y)); });
  }
  static Vector lane_bits(int i) noexcept {  // that stand for the lanes of at[i]
    static constexpr std::uint32_t kBits[16] = {1 << 0,  1 << 1,  1 << 2,  1 << 3, 1 << 4,  1 << 5,
                                                1 << 6,  1 << 7,  1 << 8,  1 << 9, 1 << 10, 1 << 11,
                                                1 << 12, 1 << 13, 1 << 14, 1 << 15};
    return load_bits(kBits + 4 * i);
  }
  static Lanes plus_where(std::uint32_t lanes, const Lanes& x, std::uint32_t y) noexcept {
    const auto part = [&](int i) noexcept {
      return vaddq_u32(x.at[i], vandq_u32(vtstq_u32(broadcast(lanes), lane_bits(i)), broadcast(y)));
    };
    return {{part(0), part(1), part(2), part(3)}};
  }
  static Lanes word_pairs(const Lanes& x) noexcept {
    return map(x, [](Vector part) noexcept { return vsliq_n_u32(part, part, 16); });
  }
  static Lanes masked(const Lanes& x, std::uint32_t bits) noexcept {
    return map(x, [&](Vector part) noexcept { return vandq_u32(part, broadcast(bits)); });
  }
  template <int n>
  static Lanes shifted_left(const Lanes& x) noexcept {
    return map(x, [](Vector part) noexcept { return vshlq_n_u32(part, n); });
  }
  template <int n>
  static Lanes shifted_right(const Lanes& x) noexcept {
    return map(x, [](Vector part) noexcept { return vshrq_n_u32(part, n); });
  }
  static std::uint32_t at_least(const Lanes& x, std::uint32_t limit) noexcept {
    const auto part = [&](int i) noexcept {
      return vandq_u32(vcgeq_u32(x.at[i], broadcast(limit)), lane_bits(i));
    };
    return vaddvq_u32(vorrq_u32(vorrq_u32(part(0), part(1)), vorrq_u32(part(2), part(3))));
  }
  static void store_bytes(std::uint8_t* to, const Lanes& x) noexcept {
    store<false>(to, lower_bytes(lower_words({x.at[0], x.at[1]}), lower_words({x.at[2], x.at[3]})));
  }

  // --- codes ---

  static Bytes lower_bytes(uint16x8_t x, uint16x8_t y) noexcept {
    return vuzp1q_u8(as_bytes(x), as_bytes(y));
  }
  static Bytes upper_bytes(uint16x8_t x, uint16x8_t y) noexcept {
    return vuzp2q_u8(as_bytes(x), as_bytes(y));
  }
  // All ones is -1.
  static uint16x8_t bumped(uint16x8_t word, uint16x8_t where) noexcept {
    return vsubq_u16(word_magnitude(word), where);
  }
  [[gnu::always_inline]] static Parted parted(const Floats& x, std::uint32_t bump) noexcept {
    const Vector mask = broadcast(bump);
    return {map<Words>(x,
                       [&](Eight part) noexcept {
                         return bumped(upper_words(part),
                                       lower_words({vtstq_u32(part.low, mask), vtstq_u32(part.high, mask)}));
                       }),
            map<Words>(x, [](Eight part) noexcept { return upper_words(part); })};
  }
  [[gnu::always_inline]] static Parted parted(const Words& x, std::uint32_t bump) noexcept {
    const uint16x8_t mask = vdupq_n_u16(static_cast<std::uint16_t>(bump >> 16));
    return {map<Words>(x, [&](uint16x8_t part) noexcept { return bumped(part, vtstq_u16(part, mask)); }), x};
  }

  // The origin stands twice in 32 bits.
  static Words steps(const Words& magnitude, Vector origin) noexcept {
    return map<Words>(magnitude, [&](uint16x8_t part) noexcept {
      return vshrq_n_u16(vqsubq_u16(part, as_words(origin)), 5);
    });
  }

  // Loaded where it is needed: g++ 12 would keep two registers that belong together in memory, too.
  using CodeTable = const std::uint8_t*;
  static CodeTable load_codes(const std::uint8_t* table) noexcept { return table; }
  static Bytes look_up(Bytes index, CodeTable table) noexcept {
    return vqtbl2q_u8(vld1q_u8_x2(table), index);
  }
  static Bytes sixteen(uint16x8_t steps_a, uint16x8_t steps_b, uint16x8_t sign_a, uint16x8_t sign_b,
                       CodeTable table) noexcept {
    const Bytes code = look_up(lower_bytes(steps_a, steps_b), table);
    const Bytes negative = vshrq_n_u8(upper_bytes(sign_a, sign_b), 4);
    return vandq_u8(code, vorrq_u8(negative, vdupq_n_u8(kE2m1Sign - 1)));
  }
  static Bytes codes(const Words& steps, const Words& sign, CodeTable table) noexcept {
    const Bytes first = sixteen(steps.a, steps.b, sign.a, sign.b, table);
    const Bytes second = sixteen(steps.c, steps.d, sign.c, sign.d, table);
    return vsliq_n_u8(vuzp1q_u8(first, second), vuzp2q_u8(first, second), 4);  // even, odd
  }
  static Codes codes(const Words& steps_a, const Words& steps_b, const Words& sign_a, const Words& sign_b,
                     CodeTable table) noexcept {
    return {codes(steps_a, sign_a, table), codes(steps_b, sign_b, table)};
  }
  template <bool kStreaming>
  static void store_codes(std::uint8_t* to, Codes ab, Codes cd) noexcept {
    store<kStreaming>(to, ab.a);
    store<kStreaming>(to + 16, ab.b);
    store<kStreaming>(to + 32, cd.a);
    store<kStreaming>(to + 48, cd.b);
  }

  // --- the search ---

  static std::int32_t excess(const Floats& x, Vector byte, bool above) noexcept {
    const float32x4_t unit = as_float(vshlq_n_u32(vsubq_u32(broadcast(254 + 14), byte), 23));
    const Vector one_origin = vsubq_u32(vshlq_n_u32(byte, 7), broadcast((3 << 7) + 32));
    const Words step =
        steps(map<Words>(x, [](Eight part) noexcept { return word_magnitude(upper_words(part)); }),
              vsliq_n_u32(one_origin, one_origin, 16));

    const auto fixed = [&](Vector bits) noexcept {
      return vreinterpretq_u32_s32(vcvtnq_s32_f32(vmulq_f32(vabsq_f32(as_float(bits)), unit)));
    };
    int32x4_t sum = vdupq_n_s32(0);
    const auto add = [&](Eight part, Bytes gain_bytes, Bytes middle_bytes) noexcept {
      const int16x8_t v = vreinterpretq_s16_u16(lower_words({fixed(part.low), fixed(part.high)}));
      const int16x8_t gain = vreinterpretq_s16_u8(gain_bytes);
      const int16x8_t distance = vsubq_s16(v, vreinterpretq_s16_u8(middle_bytes));
      sum = vmlal_s16(sum, vget_low_s16(gain), vget_low_s16(distance));
      sum = vmlal_high_s16(sum, gain, distance);
    };
    const auto add_two = [&](Eight first, Eight second, Bytes index) noexcept {
      const Bytes gain = look_up(index, kExcessBytes[above].gain);
      const Bytes middle = look_up(index, kExcessBytes[above].middle);
      add(first, vzip1q_u8(zero(), gain), vzip1q_u8(zero(), middle));
      add(second, vzip2q_u8(zero(), gain), vzip2q_u8(zero(), middle));
    };
    add_two(x.a, x.b, lower_bytes(step.a, step.b));
    add_two(x.c, x.d, lower_bytes(step.c, step.d));
    return vaddvq_s32(sum);
  }
  static std::int32_t excess(const Words& x, Vector byte, bool above) noexcept {
    return excess(floats(x), byte, above);
  }

  // --- errors ---

  struct Squares {  // lanes i mod 8 of a block
    float64x2_t a = vdupq_n_f64(0), b = a, c = a, d = a;
    // Squares of f32 are exact in double, so that a fused addition rounds as a separate one does.
    static float64x2_t plus_square(float64x2_t sum, float64x2_t x) noexcept { return vfmaq_f64(sum, x, x); }
    void add(float32x4_t low, float32x4_t high) noexcept {
      a = plus_square(a, vcvt_f64_f32(vget_low_f32(low)));
      b = plus_square(b, vcvt_high_f64_f32(low));
      c = plus_square(c, vcvt_f64_f32(vget_low_f32(high)));
      d = plus_square(d, vcvt_high_f64_f32(high));
    }
    double total() const noexcept {  // pairs, pairs of them, both halves
      return vpaddd_f64(vpaddq_f64(vpaddq_f64(a, b), vpaddq_f64(c, d)));
    }
  };

  static BlockErrors errors(const Floats& x, const std::uint8_t* codes,
                            const std::uint32_t* values) noexcept {
    const Floats q = floats(words_of(codes, NibbleOrder::interleaved, tables_of(values)));
    Squares signal, noise;
    Vector saturated = broadcast(0);
    const auto add = [&](Eight bits, Eight rounded) noexcept {
      const float32x4_t low = as_float(bits.low), high = as_float(bits.high);
      signal.add(low, high);
      noise.add(vsubq_f32(low, as_float(rounded.low)), vsubq_f32(high, as_float(rounded.high)));
      saturated = vsubq_u32(saturated, vcgtq_u32(magnitude(bits.low), broadcast(values[7])));
      saturated = vsubq_u32(saturated, vcgtq_u32(magnitude(bits.high), broadcast(values[7])));
    };
    add(x.a, q.a);
    add(x.b, q.b);
    add(x.c, q.c);
    add(x.d, q.d);
    return {signal.total(), noise.total(), vaddvq_u32(saturated)};
  }

  // --- values ---

  struct ByteTables {
    Bytes lower, upper;  ///< of the words of 16 codes
  };
  static ByteTables tables_of(uint16x8_t first, uint16x8_t second) noexcept {
    return {lower_bytes(first, second), upper_bytes(first, second)};
  }
  static ByteTables tables_of(const std::uint16_t* values) noexcept {
    return tables_of(load_words(values), load_words(values + 8));
  }
  // The lower words of f32 values are 0: each of them is a bf16.
  static ByteTables tables_of(const std::uint32_t* values) noexcept {
    return tables_of(upper_words({load_bits(values), load_bits(values + 4)}),
                     upper_words({load_bits(values + 8), load_bits(values + 12)}));
  }
  static Words words_of(const std::uint8_t* codes, NibbleOrder order, ByteTables tables) noexcept {
    const Bytes both = load(codes), low = vandq_u8(both, vdupq_n_u8(15)), high = vshrq_n_u8(both, 4);
    const bool split = order == NibbleOrder::split16;
    const Bytes first = split ? low : vzip1q_u8(low, high), second = split ? high : vzip2q_u8(low, high);
    const Bytes first_lower = vqtbl1q_u8(tables.lower, first), first_upper = vqtbl1q_u8(tables.upper, first);
    const Bytes second_lower = vqtbl1q_u8(tables.lower, second),
                second_upper = vqtbl1q_u8(tables.upper, second);
    return {vreinterpretq_u16_u8(vzip1q_u8(first_lower, first_upper)),
            vreinterpretq_u16_u8(vzip2q_u8(first_lower, first_upper)),
            vreinterpretq_u16_u8(vzip1q_u8(second_lower, second_upper)),
            vreinterpretq_u16_u8(vzip2q_u8(second_lower, second_upper))};
  }

  template <bool kStreaming>
  static void expand(F32, const std::uint8_t* codes, NibbleOrder order, const std::uint32_t* values,
                     std::byte* out) noexcept {
    const auto store_eight = [](std::byte* to, Eight x) noexcept {
      store<kStreaming>(to, vreinterpretq_u8_u32(x.low));
      store<kStreaming>(to + 16, vreinterpretq_u8_u32(x.high));
    };
    const Floats x = floats(words_of(codes, order, tables_of(values)));
    store_eight(out, x.a);
    store_eight(out + 32, x.b);
    store_eight(out + 64, x.c);
    store_eight(out + 96, x.d);
  }
  template <bool kStreaming, class Half>
  static void expand(Half, const std::uint8_t* codes, NibbleOrder order, const std::uint16_t* values,
                     std::byte* out) noexcept {
    const Words x = words_of(codes, order, tables_of(values));
    store<kStreaming>(out, as_bytes(x.a));
    store<kStreaming>(out + 16, as_bytes(x.b));
    store<kStreaming>(out + 32, as_bytes(x.c));
    store<kStreaming>(out + 48, as_bytes(x.d));
  }
};

}  // namespace
}  // namespace mxfp4::kernel
