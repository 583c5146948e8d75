#include "mxfp4/kernel/cpu/general_product.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/cpu/packed.h"
#include "mxfp4/kernel/cpu/rows_format.h"
#include "mxfp4/kernel/cpu/token_format.h"

namespace mxfp4::kernel {
namespace {

float float_at(const std::byte* from) noexcept {
  float x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

/// digits[0], digits[stride], ... as one integer, times a step of which the half stands at `half_step`.
double integer(const std::byte* digits, std::size_t stride, std::size_t count,
               const std::byte* half_step) noexcept {
  double q = 0;
  for (std::size_t d = 0; d < count; ++d) {
    q = q * (1 << kRadixBits[count - 1]) + static_cast<std::int8_t>(digits[d * stride]);
  }
  return q * 2 * static_cast<double>(float_at(half_step));
}

/// Element `place` of the plane of a block, times 2^-exponent.
double activation(const Token& token, std::size_t block, std::size_t place) noexcept {
  const TokenFormat format = token.plan.format;
  const std::byte* const record = token.record + block * block_record_bytes(format);
  if (!is_integers(format)) return static_cast<double>(float_at(record + 4 * place));
  const std::size_t digits = digits_of(format);
  return integer(record + place, 32, digits, record + 36 * digits);
}

/// The same in a record for rows.
double row_activation(const Token& token, std::size_t block, std::size_t place) noexcept {
  const TokenFormat format = token.plan.format;
  if (format == TokenFormat::raw) return activation(token, block, place);
  const std::byte* const chunk = token.record + block / kRowChunk * row_chunk_bytes(format);
  const std::size_t half = place / 16, byte = block % kRowChunk * 16 + place % 16, lane = byte / 4;
  double x;
  if (is_integers(format)) {
    const std::size_t digits = digits_of(format);
    x = integer(chunk + half * kRowChunkCodes + byte, kRowPlane, digits,
                chunk + digits * kRowPlane + 4 * (kRowLanes + lane));
  } else {
    const std::size_t nibble = byte % 4 * 2 + half;
    x = static_cast<double>(float_at(chunk + 4 * (nibble * kRowLanes + lane)));
  }
  return std::ldexp(x, -kRowExponent);
}

double scale(const GroupInfo& info, std::uint8_t byte) noexcept {
  return info.wide ? static_cast<double>(e8m0_value(byte)) : std::ldexp(1.0, byte + info.base - 127);
}

/// code_byte(b, i), scale_of(b) and x(b, place of the plane) of a row, and a token's exponent.
template <class CodeByte, class Scale, class X>
double product(std::size_t blocks, int exponent, const CodeByte& code_byte, const Scale& scale_of,
               const X& x) noexcept {
  double sum = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    double block = 0;
    for (std::size_t i = 0; i < 32; ++i) {  // code byte i % 16, low nibble first
      const auto code = static_cast<std::uint8_t>(code_byte(b, i % 16) >> (i < 16 ? 0 : 4) & 15);
      block += static_cast<double>(e2m1_value(code)) * x(b, i);
    }
    sum += block * scale_of(b);
  }
  return std::ldexp(sum, exponent);
}

/// Row `row`, of which `first` is the first that is asked for.
void write(double sum, const float* bias, const Outputs& out, const Token& token, std::size_t row,
           std::size_t first) noexcept {
  float y = static_cast<float>(sum);
  if (bias != nullptr) y += bias[row];
  const std::uint16_t half = out.dtype == Dtype::bf16 ? f32_to_bf16(y) : f32_to_f16(y);
  std::byte* const to = output_at(out, token.place, row - first);
  out.dtype == Dtype::f32 ? std::memcpy(to, &y, sizeof y) : std::memcpy(to, &half, sizeof half);
}

}  // namespace

void general_product(const MultiplyArgs& args, std::size_t group, const Token& token) noexcept {
  const std::byte* const packed = args.weights + group * packed_group_bytes(args.blocks);
  const std::size_t first = group * kGroupRows, end = std::min(first + kGroupRows, args.rows);
  for (std::size_t n = first; n < end; ++n) {
    const std::size_t row = n - first;
    const double y = product(
        args.blocks, token.plan.exponent,
        [&](std::size_t b, std::size_t i) {
          return static_cast<int>(packed[packed_block(b, args.blocks).codes + i / 4 * 64 + row * 4 + i % 4]);
        },
        [&](std::size_t b) {
          const std::byte byte = packed[packed_block(b, args.blocks).scales + row];
          return scale(args.info[group], static_cast<std::uint8_t>(byte));
        },
        [&](std::size_t b, std::size_t place) { return activation(token, b, place); });
    write(y, args.bias, args.out, token, n, args.first_group * kGroupRows);
  }
}

void general_row(const RowsArgs& args, std::size_t row, const Token& token) noexcept {
  const std::uint8_t* const codes = args.codes + row * args.blocks * 16;
  const std::uint8_t* const scales = args.scales + row * args.blocks;
  const double y = product(
      args.blocks, token.plan.exponent,
      [&](std::size_t b, std::size_t i) { return static_cast<int>(codes[16 * b + i]); },
      [&](std::size_t b) { return static_cast<double>(e8m0_value(scales[b])); },
      [&](std::size_t b, std::size_t place) { return row_activation(token, b, place); });
  write(y, args.bias, args.out, token, row, args.first_row);
}

}  // namespace mxfp4::kernel
