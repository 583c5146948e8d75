#include "mxfp4/kernel/cpu/general_product.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/cpu/packed.h"
#include "mxfp4/kernel/cpu/token_format.h"

namespace mxfp4::kernel {
namespace {

/// Element `place` of the plane of a block, times 2^-exponent.
double activation(const Token& token, std::size_t block, std::size_t place) noexcept {
  const TokenFormat format = token.plan.format;
  const std::byte* const record = token.record + block * block_record_bytes(format);
  float x;
  if (!is_integers(format)) {
    std::memcpy(&x, record + 4 * place, sizeof x);
    return static_cast<double>(x);
  }
  const std::size_t digits = digits_of(format);
  double q = 0;
  for (std::size_t d = 0; d < digits; ++d) {
    q = q * (1 << kRadixBits[digits - 1]) + static_cast<std::int8_t>(record[32 * d + place]);
  }
  std::memcpy(&x, record + 36 * digits, sizeof x);
  return q * 2 * static_cast<double>(x);
}

double scale(const GroupInfo& info, std::uint8_t byte) noexcept {
  return info.wide ? static_cast<double>(e8m0_value(byte)) : std::ldexp(1.0, byte + info.base - 127);
}

double output(const MultiplyArgs& args, std::size_t group, std::size_t row, const Token& token) noexcept {
  const std::byte* const packed = args.weights + group * packed_group_bytes(args.blocks);
  double sum = 0;
  for (std::size_t b = 0; b < args.blocks; ++b) {
    const PackedBlock at = packed_block(b, args.blocks);
    double block = 0;
    for (std::size_t i = 0; i < 32; ++i) {  // code byte i % 16, low nibble first
      const std::byte codes = packed[at.codes + i % 16 / 4 * 64 + row * 4 + i % 4];
      const auto code = static_cast<std::uint8_t>(static_cast<int>(codes) >> (i < 16 ? 0 : 4) & 15);
      block += static_cast<double>(e2m1_value(code)) * activation(token, b, i);
    }
    sum += block * scale(args.info[group], static_cast<std::uint8_t>(packed[at.scales + row]));
  }
  return std::ldexp(sum, token.plan.exponent);
}

}  // namespace

void general_product(const MultiplyArgs& args, std::size_t group, const Token& token) noexcept {
  const std::size_t first = group * kGroupRows, end = std::min(first + kGroupRows, args.rows);
  for (std::size_t n = first; n < end; ++n) {
    float y = static_cast<float>(output(args, group, n - first, token));
    if (args.bias != nullptr) y += args.bias[n];
    const std::uint16_t half = args.dtype == Dtype::bf16 ? f32_to_bf16(y) : f32_to_f16(y);
    const bool whole = args.dtype == Dtype::f32;
    const std::size_t size = whole ? sizeof y : sizeof half;
    std::memcpy(static_cast<std::byte*>(token.out) + n * size, whole ? static_cast<const void*>(&y) : &half,
                size);
  }
}

}  // namespace mxfp4::kernel
