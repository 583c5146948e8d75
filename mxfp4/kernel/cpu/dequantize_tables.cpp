#include "mxfp4/kernel/cpu/dequantize_tables.h"

#include "mxfp4/codec/block.h"
#include "mxfp4/codec/float16.h"

namespace mxfp4::kernel {
namespace {

/// Bits of the exact product as f32: infinite where it is too large, NaN under byte 255.
constexpr std::uint32_t f32_bits_of(std::uint8_t code, std::uint8_t byte) noexcept {
  const double product = kE2m1Magnitudes[code & 7] * power_of_two(byte - kE8m0Bias);
  const std::uint32_t magnitude = byte == kE8m0Nan     ? f32_bits(e8m0_value(byte))
                                  : product >= 0x1p128 ? kInfinityBits
                                                       : f32_bits(static_cast<float>(product));
  return code & kE2m1Sign ? magnitude | 0x80000000u : magnitude;
}

constexpr DequantizeTables make_tables() noexcept {
  DequantizeTables tables = {};
  for (int byte = 0; byte < 256; ++byte) {
    for (int code = 0; code < 16; ++code) {
      const std::uint32_t bits =
          f32_bits_of(static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(byte));
      tables.f32[byte][code] = bits;
      tables.bf16[byte][code] = static_cast<std::uint16_t>(bits >> 16);  // nothing is lost
      tables.f16[byte][code] = f32_to_f16(bit_cast<float>(bits));
    }
  }
  return tables;
}

}  // namespace

constinit const DequantizeTables kDequantizeTables = make_tables();

}  // namespace mxfp4::kernel
