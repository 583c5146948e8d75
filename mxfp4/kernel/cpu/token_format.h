// What a token's record looks like.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/macros.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {

// The record of a token follows its blocks. A block of integers q = x / step, each made of D signed digits of
// 8 bits:
//
//   [D planes of 32 digits, the most significant first][D offsets: where each plane's sum starts][step / 2]
//
// Two digits are in radix 256, three in radix 128. A plane holds first the 16 elements that meet the low
// nibbles of a row's code bytes, then those that meet the high ones. Weights enter as 2 w, which is an
// integer: hence step / 2. A block of floats has its 32 values in the order of a plane.
MXFP4_CODEC std::size_t digits_of(TokenFormat format) noexcept {
  return format == TokenFormat::digits1 ? 1 : format == TokenFormat::digits2 ? 2 : 3;
}
MXFP4_CODEC bool is_integers(TokenFormat format) noexcept {
  return format <= TokenFormat::digits3;
}
MXFP4_CODEC std::size_t block_record_bytes(TokenFormat format) noexcept {
  return is_integers(format) ? 36 * digits_of(format) + 4 : 128;
}

/// The largest |q|: its most significant digit must not exceed 127.
inline constexpr float kMostQ[] = {127.0f, 32639.0f, 2080000.0f};
inline constexpr int kRadixBits[] = {0, 8, 7};  ///< of one, two and three digits

/// Where the output stands of the token in place `place`, `row` rows behind the first that is asked for.
MXFP4_CODEC std::byte* output_at(const Outputs& out, std::size_t place, std::size_t row) noexcept {
  const std::size_t size = out.dtype == Dtype::f32 ? 4 : 2;
  return out.data + place * out.stride + row * size;
}

/// 2^exponent, for exponents of normal numbers: -126 to 127.
MXFP4_CODEC float f32_power_of_two(int exponent) noexcept {
  return bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

}  // namespace mxfp4::kernel
