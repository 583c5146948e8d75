// The primitives of a product with rows in plain C++: what each must do. weights(), values(), fma() and so on
// are those of packed weights, of sixteen lanes of a row instead of sixteen rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/bits.h"
#include "mxfp4/kernel/cpu/dot_scalar.h"
#include "mxfp4/kernel/cpu/rows_format.h"

namespace mxfp4::kernel {
namespace {

struct ScalarRows : ScalarDot {
  static constexpr std::size_t kRowTokens = 2;  ///< that a row is multiplied with at once

  static Ints ints(const std::byte* from) noexcept {
    Ints x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static Floats floats(const std::byte* from) noexcept { return load(reinterpret_cast<const float*>(from)); }

  /// sum + (the products of each lane << shift). The digits that meet the high nibbles lie kRowChunkCodes
  /// behind those that meet the low ones.
  template <int kShift>
  static Ints add_products(Ints sum, const Weights& low, const Weights& high, const std::byte* x) noexcept {
    for (int i = 0; i < 64; ++i) {
      sum.at[i / 4] +=
          (low.at[i] * static_cast<std::int8_t>(x[i]) +
           high.at[i] * static_cast<std::int8_t>(x[kRowChunkCodes + static_cast<std::size_t>(i)])) *
          (1 << kShift);
    }
    return sum;
  }

  /// Vector kPart of a chunk's scales: lane l has 2^(byte l / 4 - 127), or 0 for byte 0.
  template <int kPart>
  static Floats chunk_scales(const std::byte* bytes) noexcept {
    Floats x;
    for (int i = 0; i < 16; ++i) x.at[i] = bit_cast<float>(static_cast<std::uint32_t>(bytes[i / 4]) << 23);
    return x;
  }

  /// Lanes l and l + 8, l and l + 4, l and l + 2, and the last two.
  static float sum_of_lanes(const Floats (&parts)[1]) noexcept {
    Floats x = parts[0];
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) x.at[i] += x.at[i + half];
    }
    return x.at[0];
  }
};

}  // namespace
}  // namespace mxfp4::kernel
