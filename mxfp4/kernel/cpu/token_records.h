// Activations as the product takes them: how many digits a token needs, and its record. Plain C++, which the
// compilers turn into vectors, so that every instruction set makes the same record.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/bits.h"
#include "mxfp4/kernel/cpu/token_format.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

/// Exponents of tokens, and how far below its largest element a token's blocks and floats may lie.
constexpr int kMostExponent = 100;
constexpr float kLeastRatio = 0x1p-80f;

constexpr std::uint32_t kMagnitudeBits = 0x7FFFFFFF;

float block_amax(const float* x) noexcept {
  std::uint32_t most = 0;
  for (int i = 0; i < 32; ++i) {
    const std::uint32_t bits = bit_cast<std::uint32_t>(x[i]) & kMagnitudeBits;
    most = most > bits ? most : bits;
  }
  return bit_cast<float>(most);
}

/// Sum of |x| in one order on every machine.
float block_sum(const float* x) noexcept {
  float lanes[8] = {};
  for (int i = 0; i < 4; ++i) {
    for (int lane = 0; lane < 8; ++lane) lanes[lane] += std::fabs(x[8 * i + lane]);
  }
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

bool has_tiny_element(const float* x, std::size_t count, float least) noexcept {
  std::uint32_t smallest = ~0u;  // of |x| - 1, in bits: zero is none
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = (bit_cast<std::uint32_t>(x[i]) & kMagnitudeBits) - 1;
    smallest = smallest < bits ? smallest : bits;
  }
  return smallest != ~0u && bit_cast<float>(smallest + 1) < least;
}

// How many digits `exact` needs. Rounding to a step gives a block of 32 an error of variance 32 step^2 / 12
// against its sum of |x|; over blocks the errors add as squares and the sums plainly, if the weights' scales
// are alike. The error relative to sum |w x| is then E below; the largest element of each block is left out
// of the sum, as it may meet a zero. Where few blocks decide, because scales differ, the averaging is lost by
// the factor sqrt(concentration * blocks). Measured rms errors lie below E or at most 0.5 bits above it;
// 2^-18.7 leaves that to the bound of 2^-18.
TokenFormat exact_format(const PlanArgs& args, double squared_amax, double rest) noexcept {
  constexpr double kFewBlocks = 8;           // no averaging over so few
  constexpr double kBound = 0x1p-37 * 0.75;  // (2^-18.7)^2
  const auto blocks = static_cast<double>(args.blocks);
  if (blocks < kFewBlocks || args.wide) return TokenFormat::floats;
  const double spread = args.concentration * blocks > 1 ? args.concentration * blocks : 1;
  const double error = squared_amax * 32 / 12 * spread;  // times step^2 / amax^2
  for (const TokenFormat format : {TokenFormat::digits2, TokenFormat::digits3}) {
    const double most = kMostQ[digits_of(format) - 1];
    if (error <= kBound * most * most * rest * rest) return format;
  }
  return TokenFormat::floats;
}

TokenPlan plan(const PlanArgs& args) noexcept {
  float amax = 0, least = bit_cast<float>(kInfinityBits);
  double squared_amax = 0, rest = 0;
  for (std::size_t b = 0; b < args.blocks; ++b) {
    const float block = block_amax(args.x + 32 * b);
    if (!(block < bit_cast<float>(kInfinityBits))) return {};
    amax = block > amax ? block : amax;
    least = block > 0 && block < least ? block : least;
    squared_amax += static_cast<double>(block) * block;
    rest += static_cast<double>(block_sum(args.x + 32 * b)) - block;
  }
  const bool exact = args.activation == Activation::exact;
  TokenPlan plan = {args.activation == Activation::int8 ? TokenFormat::digits1 : TokenFormat::digits3, 0};
  if (exact) plan.format = exact_format(args, squared_amax, rest);
  if (amax == 0) return plan;
  const int exponent = static_cast<int>(bit_cast<std::uint32_t>(amax) >> 23) - 127;
  const bool tiny = plan.format == TokenFormat::floats
                        ? has_tiny_element(args.x, 32 * args.blocks, amax * kLeastRatio)
                        : least < amax * kLeastRatio;
  if (exponent > kMostExponent || exponent < -kMostExponent || tiny) return {};
  plan.exponent = exponent;
  return plan;
}

/// Elements in the order of a plane, times a power of two.
void to_plane(const float* x, NibbleOrder order, float factor, float* out) noexcept {
  if (order == NibbleOrder::split16) {
    for (int i = 0; i < 32; ++i) out[i] = x[i] * factor;
    return;
  }
  for (int i = 0; i < 16; ++i) out[i] = x[2 * i] * factor;
  for (int i = 0; i < 16; ++i) out[16 + i] = x[2 * i + 1] * factor;
}

/// To nearest, ties to even, for |x| < 2^22.
std::int32_t rounded(float x) noexcept {
  constexpr float kMagic = 0x1.8p23f;
  return static_cast<std::int32_t>(bit_cast<std::uint32_t>(x + kMagic)) -
         static_cast<std::int32_t>(bit_cast<std::uint32_t>(kMagic));
}

/// x, a multiple of 2^-9 above E4M3's last normal number in eight steps a power of two: E4M3 in units of
/// 2^-9.
std::int32_t e4m3_units(float x) noexcept {
  constexpr std::int32_t kMost = 448 << 9;
  const std::uint32_t bits = bit_cast<std::uint32_t>(x), magnitude = bits & kMagnitudeBits;
  const std::uint32_t four_bits = (magnitude + 0x7FFFF + (magnitude >> 20 & 1)) & 0xFFF00000;
  const float normal = bit_cast<float>(four_bits);
  const std::int32_t large = rounded(normal > static_cast<float>(kMost) ? static_cast<float>(kMost) : normal);
  const std::int32_t small = rounded(bit_cast<float>(magnitude));
  const std::int32_t units = magnitude < bit_cast<std::uint32_t>(8.0f) ? small : large;
  return static_cast<std::int32_t>(bits) < 0 ? -units : units;
}

/// How the 32 elements of a block are divided to become integers, and the step between these.
struct Step {
  float inverse = 0, step = 0;
};
Step step_of(float amax, Activation activation, std::size_t digits, int exponent) noexcept {
  if (amax == 0) return {};
  if (activation != Activation::mxfp8) {
    const float most = kMostQ[digits - 1];
    return {most / amax, amax / most};
  }
  // floor(log2 of the block's amax) - 8, no smaller than E8M0 allows, as the token's exponent makes it.
  const int own = static_cast<int>(bit_cast<std::uint32_t>(amax) >> 23) - 127;
  const int scale = own + exponent - 8 < -127 ? -127 - exponent : own - 8;
  return {f32_power_of_two(9 - scale), f32_power_of_two(scale - 9)};
}

template <class I, std::size_t kDigits>
void encode_integers(const EncodeArgs& args) noexcept {
  constexpr TokenFormat kFormat = static_cast<TokenFormat>(kDigits - 1);
  constexpr int kBits = kRadixBits[kDigits - 1];
  const float factor = f32_power_of_two(-args.plan.exponent);
  std::byte* to = args.record;
  for (std::size_t b = 0; b < args.blocks; ++b, to += block_record_bytes(kFormat)) {
    float x[32];
    std::int32_t q[32];
    to_plane(args.x + 32 * b, args.order, factor, x);
    const Step step = step_of(block_amax(x), args.activation, kDigits, args.plan.exponent);
    if (kDigits == 3 && args.activation == Activation::mxfp8) {
      for (int i = 0; i < 32; ++i) q[i] = e4m3_units(x[i] * step.inverse);
    } else {
      for (int i = 0; i < 32; ++i) q[i] = rounded(x[i] * step.inverse);
    }
    std::int8_t planes[kDigits][32];
    for (std::size_t d = kDigits - 1; d > 0; --d) {
      constexpr std::int32_t kHalf = 1 << kBits >> 1, kMask = (1 << kBits) - 1;
      for (int i = 0; i < 32; ++i) {
        const std::int32_t digit = ((q[i] + kHalf) & kMask) - kHalf;
        planes[d][i] = static_cast<std::int8_t>(digit);
        q[i] = (q[i] - digit) >> kBits;
      }
    }
    for (int i = 0; i < 32; ++i) planes[0][i] = static_cast<std::int8_t>(q[i]);
    std::int32_t offsets[kDigits];
    for (std::size_t d = 0; d < kDigits; ++d) offsets[d] = I::offset(planes[d]);
    const float half_step = step.step * 0.5f;
    std::memcpy(to, planes, sizeof planes);
    std::memcpy(to + 32 * kDigits, offsets, sizeof offsets);
    std::memcpy(to + 36 * kDigits, &half_step, sizeof half_step);
  }
}

void encode_floats(const EncodeArgs& args) noexcept {
  const float factor = args.plan.format == TokenFormat::raw ? 1.0f : f32_power_of_two(-args.plan.exponent);
  for (std::size_t b = 0; b < args.blocks; ++b) {
    float x[32];
    to_plane(args.x + 32 * b, args.order, factor, x);
    std::memcpy(args.record + sizeof x * b, x, sizeof x);
  }
}

template <class I>
void encode(const EncodeArgs& args) noexcept {
  switch (args.plan.format) {
    case TokenFormat::digits1:
      return encode_integers<I, 1>(args);
    case TokenFormat::digits2:
      return encode_integers<I, 2>(args);
    case TokenFormat::digits3:
      return encode_integers<I, 3>(args);
    case TokenFormat::floats:
    case TokenFormat::raw:
      return encode_floats(args);
  }
}

std::size_t record_bytes(TokenFormat format, std::size_t blocks) noexcept {
  return block_record_bytes(format) * blocks;
}

}  // namespace
}  // namespace mxfp4::kernel
