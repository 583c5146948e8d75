// The kernels' primitives in plain loops: what every instruction set has to do, and all that some machines
// have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/cpu/block_sums.h"
#include "mxfp4/kernel/cpu/elements.h"
#include "mxfp4/kernel/cpu/quantize_plan.h"

namespace mxfp4::kernel {
namespace {

struct Scalar {
  struct Words {  ///< of a block
    std::uint16_t at[32];
  };
  struct Floats {  ///< their bits
    std::uint32_t at[32];
  };
  struct Lanes {  ///< a number for each block of a group
    std::uint32_t at[16];
  };
  struct Codes {  ///< of two blocks
    std::uint8_t at[64];
  };
  struct Parted {
    Words magnitude;  ///< upper 16 bits without the sign, plus 1 if the element has one of the bits of `bump`
    Words sign;       ///< upper 16 bits
  };
  using Partial = std::uint32_t;

  static constexpr std::size_t kVectorBytes = 1;
  static void fence() noexcept {}
  static std::uint64_t zero() noexcept { return 0; }
  static std::uint64_t mix(std::uint64_t x, std::uint64_t y) noexcept { return x ^ y; }
  static std::uint64_t load(const std::byte* from) noexcept {
    std::uint64_t x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  template <bool kStreaming>
  static void store(void* to, std::uint64_t x) noexcept {
    std::memcpy(to, &x, sizeof x);
  }

  // --- elements ---

  static Words load(Bf16, const std::byte* from) noexcept {
    Words x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static Floats load(F32, const std::byte* from) noexcept {
    Floats x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static Floats load(F16, const std::byte* from) noexcept {
    float x[32];
    read_block<F16>(from, x);
    Floats bits;
    std::memcpy(&bits, x, sizeof bits);
    return bits;
  }
  static Floats floats(const Floats& x) noexcept { return x; }
  static Floats floats(const Words& x) noexcept {
    Floats bits;
    for (int i = 0; i < 32; ++i) bits.at[i] = static_cast<std::uint32_t>(x.at[i]) << 16;
    return bits;
  }

  static bool any(const Floats& x, std::uint32_t mask, std::uint32_t bits) noexcept {
    bool found = false;
    for (const std::uint32_t element : x.at) found = found || (element & mask) == bits;
    return found;
  }
  static bool any(const Words& x, std::uint32_t mask, std::uint32_t bits) noexcept {
    return any(floats(x), mask & 0xFFFF0000, bits);
  }
  template <class Element>
  static Floats load(ThroughBf16<Element>, const std::byte* from) noexcept {
    Floats x = load(Element{}, from);
    for (std::uint32_t& bits : x.at) {
      if ((bits & 0x7FFFFFFF) < kInfinityBits) bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    }
    return x;
  }

  // --- maxima ---

  static Partial partial_maximum(const Floats& x) noexcept {
    std::uint32_t most = 0;
    for (int i = 0; i < 32; ++i) most = (x.at[i] & 0x7FFFFFFF) > most ? x.at[i] & 0x7FFFFFFF : most;
    return most;
  }
  static Partial partial_maximum(const Words& x) noexcept {
    std::uint32_t most = 0;
    for (int i = 0; i < 32; ++i) most = (x.at[i] & 0x7FFFu) > most ? x.at[i] & 0x7FFFu : most;
    return most << 16;
  }
  template <class Element>
  static Partial maximum_at(Element, const std::byte* from) noexcept {
    return partial_maximum(load(Element{}, from));
  }
  static Lanes maxima(const Partial* partial) noexcept {
    return map([&](int i) noexcept { return partial[i]; });
  }

  // --- a number for each block of a group ---

  template <class Function>
  static Lanes map(Function function) noexcept {
    Lanes x;
    for (int i = 0; i < 16; ++i) x.at[i] = function(i);
    return x;
  }
  static std::uint32_t broadcast(const Lanes& x, int lane) noexcept { return x.at[lane]; }
  static Lanes plus(const Lanes& x, std::uint32_t y) noexcept {
    return map([&](int i) noexcept { return x.at[i] + y; });
  }
  static Lanes plus_where(std::uint32_t lanes, const Lanes& x, std::uint32_t y) noexcept {
    return map([&](int i) noexcept { return x.at[i] + ((lanes >> i & 1) != 0 ? y : 0); });
  }
  static Lanes masked(const Lanes& x, std::uint32_t bits) noexcept {
    return map([&](int i) noexcept { return x.at[i] & bits; });
  }
  static const Lanes& word_pairs(const Lanes& x) noexcept {
    return x;
  }  // for broadcasts to words, where those need it
  template <int n>
  static Lanes shifted_left(const Lanes& x) noexcept {
    return map([&](int i) noexcept { return x.at[i] << n; });
  }
  template <int n>
  static Lanes shifted_right(const Lanes& x) noexcept {
    return map([&](int i) noexcept { return x.at[i] >> n; });
  }
  static std::uint32_t at_least(const Lanes& x, std::uint32_t limit) noexcept {
    std::uint32_t lanes = 0;
    for (int i = 0; i < 16; ++i) lanes |= static_cast<std::uint32_t>(x.at[i] >= limit) << i;
    return lanes;
  }
  static void store_bytes(std::uint8_t* to, const Lanes& x) noexcept {
    for (int i = 0; i < 16; ++i) to[i] = static_cast<std::uint8_t>(x.at[i]);
  }

  // --- codes ---

  static Parted parted(const Floats& x, std::uint32_t bump) noexcept {
    Parted part;
    for (int i = 0; i < 32; ++i) {
      part.sign.at[i] = static_cast<std::uint16_t>(x.at[i] >> 16);
      part.magnitude.at[i] = static_cast<std::uint16_t>((part.sign.at[i] & 0x7FFF) + ((x.at[i] & bump) != 0));
    }
    return part;
  }
  static Parted parted(const Words& x, std::uint32_t bump) noexcept { return parted(floats(x), bump); }

  static Words steps(const Words& magnitude, std::uint32_t origin) noexcept {
    Words step;
    for (int i = 0; i < 32; ++i) {
      step.at[i] = static_cast<std::uint16_t>(magnitude.at[i] > origin ? (magnitude.at[i] - origin) >> 5 : 0);
    }
    return step;
  }

  using CodeTable = const std::uint8_t*;
  static CodeTable load_codes(const std::uint8_t* table) noexcept { return table; }
  static Codes codes(const Words& steps_a, const Words& steps_b, const Words& sign_a, const Words& sign_b,
                     CodeTable table) noexcept {
    Codes codes;
    for (int i = 0; i < 32; ++i) {
      // Blocks that are not ordinary come with any steps.
      codes.at[i] = static_cast<std::uint8_t>(table[steps_a.at[i] % kSteps] & (sign_a.at[i] >> 12 | 7));
      codes.at[32 + i] = static_cast<std::uint8_t>(table[steps_b.at[i] % kSteps] & (sign_b.at[i] >> 12 | 7));
    }
    return codes;
  }
  template <bool kStreaming>
  static void store_codes(std::uint8_t* to, const Codes& ab, const Codes& cd) noexcept {
    for (int i = 0; i < 32; ++i) {
      to[i] = pack_nibbles(ab.at[2 * i], ab.at[2 * i + 1]);
      to[32 + i] = pack_nibbles(cd.at[2 * i], cd.at[2 * i + 1]);
    }
  }

  // --- the search: units of 2^-14 of the scale, wrapping ---

  static std::int32_t excess(const Floats& x, std::uint32_t byte, bool above) noexcept {
    const ExcessTable& table = kExcess[above];
    const float unit = bit_cast<float>((254 + 14 - byte) << 23);
    const std::uint32_t origin = ((byte - 3) << 7) - 32;
    std::int32_t sum = 0;
    for (int i = 0; i < 32; ++i) {
      const float v = bit_cast<float>(x.at[i] & 0x7FFFFFFF) * unit;
      const std::int32_t rounded = bit_cast<std::int32_t>(v + 0x1p23f) - 0x4B000000;  // v < 2^17
      const std::uint32_t word = x.at[i] >> 16 & 0x7FFF;
      const std::uint32_t step = word > origin ? (word - origin) >> 5 : 0;
      sum += table.gain[step % kSteps] * static_cast<std::int16_t>(rounded - table.middle[step % kSteps]);
    }
    return sum;
  }
  static std::int32_t excess(const Words& x, std::uint32_t byte, bool above) noexcept {
    return excess(floats(x), byte, above);
  }

  // --- errors ---

  static BlockErrors errors(const Floats& x, const std::uint8_t* codes,
                            const std::uint32_t* values) noexcept {
    double signal[8] = {}, noise[8] = {};
    BlockErrors errors = {};
    for (int i = 0; i < 32; ++i) {
      const float element = bit_cast<float>(x.at[i]);
      const float q =
          bit_cast<float>(values[nibble(codes, static_cast<std::size_t>(i), NibbleOrder::interleaved)]);
      const double wide = element, difference = element - q;
      signal[i % 8] += wide * wide;
      noise[i % 8] += difference * difference;
      errors.saturated += (x.at[i] & 0x7FFFFFFF) > values[7];
    }
    errors.signal = total(signal);
    errors.noise = total(noise);
    return errors;
  }
  static double total(const double* x) noexcept {
    return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
  }

  // --- values ---

  template <bool kStreaming, class Element>
  static void expand(Element, const std::uint8_t* codes, NibbleOrder order,
                     const typename Element::Raw* values, std::byte* out) noexcept {
    typename Element::Raw block[32];
    for (int i = 0; i < 16; ++i) {
      const bool split = order == NibbleOrder::split16;
      block[split ? i : 2 * i] = values[codes[i] & 15];
      block[split ? i + 16 : 2 * i + 1] = values[codes[i] >> 4];
    }
    std::memcpy(out, block, sizeof block);
  }
};

}  // namespace
}  // namespace mxfp4::kernel
