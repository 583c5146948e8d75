// Eight numbers side by side, in the compilers' own vectors: the same operations on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mxfp4::kernel {
namespace {

using Floats8 [[gnu::vector_size(32)]] = float;
using Ints8 [[gnu::vector_size(32)]] = std::int32_t;

// How 32 bytes are passed to functions depends on the instruction set; these functions are always inlined.
#pragma GCC diagnostic ignored "-Wpsabi"
#define MXFP4_EIGHT [[gnu::always_inline]] inline

/// The 32 numbers of a block.
struct FloatBlock {
  Floats8 at[4];
};
struct IntBlock {
  Ints8 at[4];
};

MXFP4_EIGHT Floats8 load_eight(const float* from) noexcept {
  Floats8 x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
MXFP4_EIGHT FloatBlock load_block(const float* from) noexcept {
  return {load_eight(from), load_eight(from + 8), load_eight(from + 16), load_eight(from + 24)};
}

MXFP4_EIGHT Ints8 bits_of_floats(const Floats8& x) noexcept {
  return reinterpret_cast<Ints8>(x);
}
MXFP4_EIGHT Floats8 floats_of_bits(const Ints8& x) noexcept {
  return reinterpret_cast<Floats8>(x);
}

/// |x| as bits.
MXFP4_EIGHT Ints8 magnitudes(const Floats8& x) noexcept {
  return bits_of_floats(x) & INT32_MAX;
}

MXFP4_EIGHT Ints8 larger(const Ints8& a, const Ints8& b) noexcept {
  return a > b ? a : b;
}

/// Joins the lanes by `join`: 0 with 4, 1 with 5, ..., then 0 with 2, 1 with 3, then the last two.
template <class Vector, class Join>
MXFP4_EIGHT auto joined_lanes(const Vector& x, const Join& join) noexcept {
  const Vector four = join(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3));
  const Vector two = join(four, __builtin_shufflevector(four, four, 2, 3, 0, 1, 6, 7, 4, 5));
  const Vector one = join(two, __builtin_shufflevector(two, two, 1, 0, 3, 2, 5, 4, 7, 6));
  return one[0];
}

/// The largest |x| of a block, as bits.
MXFP4_EIGHT std::int32_t amax_bits(const FloatBlock& x) noexcept {
  const Ints8 most = larger(larger(magnitudes(x.at[0]), magnitudes(x.at[1])),
                            larger(magnitudes(x.at[2]), magnitudes(x.at[3])));
  return joined_lanes(most, [](const Ints8& a, const Ints8& b) noexcept { return larger(a, b); });
}

/// The sum of |x| of a block.
MXFP4_EIGHT float magnitude_sum(const FloatBlock& x) noexcept {
  const Floats8 sum = (floats_of_bits(magnitudes(x.at[0])) + floats_of_bits(magnitudes(x.at[1]))) +
                      (floats_of_bits(magnitudes(x.at[2])) + floats_of_bits(magnitudes(x.at[3])));
  return joined_lanes(sum, [](const Floats8& a, const Floats8& b) noexcept { return a + b; });
}

/// To nearest, ties to even, for |x| < 2^22.
MXFP4_EIGHT Ints8 rounded(const Floats8& x) noexcept {
  constexpr float kMagic = 0x1.8p23f;
  constexpr std::int32_t kMagicBits = 0x4B400000;
  return bits_of_floats(x + kMagic) - kMagicBits;
}

/// The sum of all lanes.
MXFP4_EIGHT std::int32_t sum_of(const Ints8& x) noexcept {
  return joined_lanes(x, [](const Ints8& a, const Ints8& b) noexcept { return a + b; });
}

/// The lowest bytes of a block.
MXFP4_EIGHT void store_bytes(std::byte* to, const IntBlock& x) noexcept {
  using Words [[gnu::vector_size(32)]] = std::int16_t;
  using Bytes [[gnu::vector_size(32)]] = std::int8_t;
  const auto words = [](const Ints8& a, const Ints8& b) noexcept {
    const Words low = reinterpret_cast<Words>(a), high = reinterpret_cast<Words>(b);
    return reinterpret_cast<Bytes>(
        __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
  };
  const Bytes low = words(x.at[0], x.at[1]), high = words(x.at[2], x.at[3]);
  const Bytes bytes =
      __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34,
                              36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62);
  std::memcpy(to, &bytes, sizeof bytes);
}

#undef MXFP4_EIGHT

}  // namespace
}  // namespace mxfp4::kernel
