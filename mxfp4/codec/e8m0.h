// E8M0, the power-of-two scale of a block (OCP Microscaling Formats v1.0, section 5.4.1).
#pragma once

#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/macros.h"

namespace mxfp4 {

inline constexpr int kE8m0Bias = 127;
inline constexpr std::uint8_t kE8m0Nan = 255;

/// Value of a scale byte: 2^(byte - 127), a subnormal for byte 0; NaN for 255.
MXFP4_CODEC float e8m0_value(std::uint8_t byte) noexcept {
  const std::uint32_t bits = byte == 0          ? 0x00400000u  // 2^-127
                             : byte == kE8m0Nan ? 0x7FC00000u  // quiet NaN
                                                : static_cast<std::uint32_t>(byte) << 23;
  return bit_cast<float>(bits);
}

}  // namespace mxfp4
