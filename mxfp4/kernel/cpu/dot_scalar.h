// The primitives of a product in plain C++: what each must do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e2m1.h"
#include "mxfp4/kernel/cpu/eight.h"
#include "mxfp4/kernel/cpu/packed.h"

namespace mxfp4::kernel {
namespace {

struct ScalarDot {
  static constexpr int kLanes = 16;  ///< rows in a vector; a group has kVectors of them
  static constexpr int kVectors = 1;
  static constexpr int kTileVectors = 1;  ///< rows of a tile, in vectors
  /// Tokens that are multiplied at once: in a tile, with integers of 1, 2, 3 digits and with floats; and
  /// straight from packed weights, with integers of 1, 2, 3 digits. Tokens up to which the latter is the
  /// faster way.
  static constexpr int kTileTokens[] = {2, 2, 1, 2};
  static constexpr int kDirectTokens[] = {2, 2, 1};
  static constexpr std::size_t kMostDirect = 2;
  /// Tokens of floats up to which that is the faster way.
  static constexpr std::size_t kDirectFloats = 2;
  /// Whether there are registers for a step's codes and weights, next to all sums.
  static constexpr bool kKeepsWeights = false;

  template <class T>
  struct Lanes {
    T at[16];
  };
  using Floats = Lanes<float>;
  using Ints = Lanes<std::int32_t>;
  struct Weights {
    std::int8_t at[64];  ///< four of each row
  };
  using Codes = const std::byte*;  ///< four bytes of each row
  using Sum = Ints;
  using Quad = const std::int8_t*;

  static Codes codes(const std::byte* from) noexcept { return from; }
  /// Twice the values of the low or high nibbles of each row's four code bytes, as integers.
  template <bool kHigh>
  static Weights weights(Codes codes) noexcept {
    static constexpr std::int8_t kDoubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    Weights w;
    for (int i = 0; i < 64; ++i)
      w.at[i] = kDoubled[static_cast<std::uint8_t>(codes[i]) >> (kHigh ? 4 : 0) & 15];
    return w;
  }
  /// What the sum over a plane starts from, by the plane's sums of every eighth digit: an instruction set may
  /// add a constant to its weights, and takes it out here.
  static std::int32_t offset(const Ints8&) noexcept { return 0; }
  static Sum start(const std::byte* offset) noexcept {
    std::int32_t x;
    std::memcpy(&x, offset, sizeof x);
    Sum sum;
    for (std::int32_t& lane : sum.at) lane = x;
    return sum;
  }
  /// Four digits, the same for every row.
  static Quad quad(const std::byte* from) noexcept { return reinterpret_cast<const std::int8_t*>(from); }
  static void add(Sum& sum, const Weights& w, Quad x) noexcept {
    for (int lane = 0; lane < 16; ++lane) {
      for (int i = 0; i < 4; ++i) sum.at[lane] += w.at[4 * lane + i] * x[i];
    }
  }
  /// The 32 products of a block and the offset.
  static Ints total(const Sum& sum) noexcept { return sum; }
  template <int kBits>
  static Ints joined(const Ints& high, const Ints& low) noexcept {  // (high << bits) + low
    Ints x;
    for (int i = 0; i < 16; ++i) x.at[i] = high.at[i] * (1 << kBits) + low.at[i];
    return x;
  }

  /// The scale bytes of a vector's rows as exponents: what added to the bits of a number multiplies it by
  /// 2^byte, unless it is 0.
  static Ints exponents(const std::byte* bytes) noexcept {
    Ints x;
    for (int i = 0; i < 16; ++i) x.at[i] = static_cast<std::int32_t>(bytes[i]) << 23;
    return x;
  }
  /// x * 2^exponent where x is a normal number, anything finite where it is 0.
  static Floats scaled(const Floats& x, const Ints& exponents) noexcept {
    Floats y;
    for (int i = 0; i < 16; ++i) {
      y.at[i] = bit_cast<float>(f32_bits(x.at[i]) + static_cast<std::uint32_t>(exponents.at[i]));
    }
    return y;
  }
  static Floats converted(const Ints& x) noexcept {
    Floats y;
    for (int i = 0; i < 16; ++i) y.at[i] = static_cast<float>(x.at[i]);
    return y;
  }
  static Floats zero() noexcept { return {}; }
  static Floats broadcast(const std::byte* from) noexcept {
    float x;
    std::memcpy(&x, from, sizeof x);
    Floats y;
    for (float& lane : y.at) lane = x;
    return y;
  }
  static Floats times(const Floats& x, const Floats& y) noexcept {
    Floats z;
    for (int i = 0; i < 16; ++i) z.at[i] = x.at[i] * y.at[i];
    return z;
  }
  /// x * y + z, rounded once.
  static Floats fma(const Floats& x, const Floats& y, const Floats& z) noexcept {
    Floats r;
    for (int i = 0; i < 16; ++i) r.at[i] = __builtin_fmaf(x.at[i], y.at[i], z.at[i]);
    return r;
  }
  static Floats load(const float* from) noexcept {
    Floats x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static void store(float* to, const Floats& x) noexcept { std::memcpy(to, &x, sizeof x); }
  /// The values of nibble i of each row's four code bytes.
  template <int i>
  static Floats values(const std::byte* codes) noexcept {
    Floats x;
    for (int lane = 0; lane < 16; ++lane) {
      x.at[lane] = e2m1_value(static_cast<std::uint8_t>(codes[4 * lane + i / 2]) >> (i % 2 * 4) & 15);
    }
    return x;
  }

  /// A chunk of a packed group: four blocks of sixteen rows, `code_stride` and `scale_stride` bytes apart.
  static void pack_chunk(const std::uint8_t* codes, std::size_t code_stride, const std::uint8_t* scales,
                         std::size_t scale_stride, std::uint8_t base, std::byte* out) noexcept {
    for (std::size_t b = 0; b < kChunkBlocks; ++b) {
      for (std::size_t row = 0; row < kGroupRows; ++row) {
        const int difference = (scales[row * scale_stride + b] - base) & 0xFF;
        out[b * kGroupRows + row] = static_cast<std::byte>(difference > kMostSpan ? 0 : difference);
        for (std::size_t j = 0; j < 4; ++j) {
          std::memcpy(out + kChunkBlocks * kGroupRows + b * kBlockCodes + 64 * j + 4 * row,
                      codes + row * code_stride + 16 * b + 4 * j, 4);
        }
      }
    }
  }
  static void fence() noexcept {}
};

}  // namespace
}  // namespace mxfp4::kernel
