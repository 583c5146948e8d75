// Activations as the product takes them: how many digits a token needs, and its record. Plain C++, which the
// compilers turn into vectors, so that every instruction set makes the same record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/bits.h"
#include "mxfp4/kernel/cpu/eight.h"
#include "mxfp4/kernel/cpu/token_format.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

/// Exponents of tokens, and how far below its largest element a token's blocks and floats may lie.
constexpr int kMostExponent = 100;
constexpr float kLeastRatio = 0x1p-80f;

bool has_tiny_element(const float* x, std::size_t count, float least) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    if (x[i] != 0 && magnitude(x[i]) < least) return true;
  }
  return false;
}

// How many digits `exact` needs. Rounding to a step gives a block of 32 f elements that are not zero an error
// of variance 32 f step^2 / 12 against its sum of |x|, in which the largest element is left out, as it may
// meet a zero. Over blocks the errors add as squares and the sums plainly, each with the block's scale:
// relative to sum |w x|, and root-mean-square over the rows,
//
//   E^2 = (32 / 12) sum of squares[b] step[b]^2 / (sum of means[b] (sum |x| - amax)[b])^2
//
// with the weight's WeightSpread. Where its blocks differ much, single ones decide single rows, and the worst
// block's own E is what counts; if these are not even filled, single elements do, for which no step is small
// enough. Measured rms errors lie below E or at most 0.5 bits above it; 2^-19.2 leaves that to 2^-18.
class ExactFormat {
 public:
  explicit ExactFormat(const PlanArgs& args) noexcept
      : args_(args), by_block_(args.spread.mean_square > kFarApart) {}

  void add(std::size_t b, double amax, double rest) noexcept {
    if (by_block_) {
      const double own = rest > 0 ? amax * amax / (rest * rest) : amax > 0 ? kNever : 0;
      squares_ = own > squares_ ? own : squares_;
    } else {
      squares_ += static_cast<double>(args_.spread.squares[b]) * amax * amax;
      rest_ += static_cast<double>(args_.spread.means[b]) * rest;
    }
  }
  TokenFormat format() const noexcept {
    constexpr std::size_t kFewBlocks = 8;  // no averaging over so few
    const bool by_element = by_block_ && args_.spread.fill < kLeastFill;
    if (args_.blocks < kFewBlocks || args_.as_floats || by_element) return TokenFormat::floats;
    if (enough(TokenFormat::digits2)) return TokenFormat::digits2;
    if (enough(TokenFormat::digits3)) return TokenFormat::digits3;
    return TokenFormat::floats;
  }

 private:
  static constexpr float kFarApart = 4, kLeastFill = 0.5f;
  static constexpr double kNever = 1e30;

  bool enough(TokenFormat format) const noexcept {
    constexpr double kBound = 0x1p-38 * 0.75;  // (2^-19.2)^2
    const double most = static_cast<double>(kMostQ[digits_of(format) - 1]), rest = by_block_ ? 1 : rest_;
    return squares_ * 32 / 12 <= kBound * most * most * rest * rest;
  }

  const PlanArgs& args_;
  bool by_block_;
  double squares_ = 0, rest_ = 0;
};

TokenPlan plan(const PlanArgs& args) noexcept {
  const bool exact = args.activation == Activation::exact;
  ExactFormat exact_format(args);
  float amax = 0, least = bit_cast<float>(kInfinityBits);
  for (std::size_t b = 0; b < args.blocks; ++b) {
    const FloatBlock x = load_block(args.x + 32 * b);
    const float block = bit_cast<float>(amax_bits(x));
    if (!(block < bit_cast<float>(kInfinityBits))) return {};
    amax = block > amax ? block : amax;
    least = block > 0 && block < least ? block : least;
    if (exact) {
      const auto magnitude = static_cast<double>(block);
      exact_format.add(b, magnitude, static_cast<double>(magnitude_sum(x)) - magnitude);
    }
  }
  TokenPlan plan = {args.activation == Activation::int8 ? TokenFormat::digits1 : TokenFormat::digits3, 0};
  if (exact) plan.format = exact_format.format();
  if (amax == 0) return plan;
  const int exponent = static_cast<int>(f32_bits(amax) >> 23) - 127;
  const bool tiny = plan.format == TokenFormat::floats
                        ? has_tiny_element(args.x, 32 * args.blocks, amax * kLeastRatio)
                        : least < amax * kLeastRatio;
  if (exponent > kMostExponent || exponent < -kMostExponent || tiny) return {};
  plan.exponent = exponent;
  return plan;
}

/// A block in the order of a plane, times a power of two.
[[gnu::always_inline]] inline FloatBlock to_plane(const float* from, NibbleOrder order,
                                                  float factor) noexcept {
  FloatBlock x = load_block(from);
  if (order == NibbleOrder::interleaved) {
    const auto even = [](const Floats8& a, const Floats8& b) noexcept {
      return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    };
    const auto odd = [](const Floats8& a, const Floats8& b) noexcept {
      return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
    };
    x = {even(x.at[0], x.at[1]), even(x.at[2], x.at[3]), odd(x.at[0], x.at[1]), odd(x.at[2], x.at[3])};
  }
  for (Floats8& part : x.at) part *= factor;
  return x;
}

/// E4M3 in units of 2^-9, its smallest number, from x in the same units: four significant bits from 8 units
/// on.
[[gnu::always_inline]] inline Ints8 e4m3_units(const Floats8& x) noexcept {
  constexpr std::int32_t kMost = 448 << 9;
  const Ints8 magnitude = magnitudes(x);
  const Ints8 four_bits = (magnitude + 0x7FFFF + (magnitude >> 20 & 1)) & INT32_C(-0x100000);
  const Ints8 large = rounded(floats_of_bits(four_bits)), small = rounded(floats_of_bits(magnitude));
  const Ints8 units = magnitude < static_cast<std::int32_t>(f32_bits(8.0f)) ? small : large;
  const Ints8 within = units > kMost ? (units & 0) + kMost : units;
  return x < 0 ? -within : within;
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
  const int own = static_cast<int>(f32_bits(amax) >> 23) - 127;
  const int scale = own + exponent - 8 < -127 ? -127 - exponent : own - 8;
  return {f32_power_of_two(9 - scale), f32_power_of_two(scale - 9)};
}

// Vectors are moved one by one: g++ 12 would copy structs of them through memory.
template <class I, std::size_t kDigits>
void encode_integers(const EncodeArgs args) noexcept {
  constexpr TokenFormat kFormat = static_cast<TokenFormat>(kDigits - 1);
  constexpr int kBits = kRadixBits[kDigits - 1];
  constexpr std::int32_t kHalf = 1 << kBits >> 1, kMask = (1 << kBits) - 1;
  const float factor = f32_power_of_two(-args.plan.exponent);
  std::byte* to = args.record;
  for (std::size_t b = 0; b < args.blocks; ++b, to += block_record_bytes(kFormat)) {
    const FloatBlock x = to_plane(args.x + 32 * b, args.order, factor);
    const Step step = step_of(bit_cast<float>(amax_bits(x)), args.activation, kDigits, args.plan.exponent);
    IntBlock q;
    for (int i = 0; i < 4; ++i) {
      const Floats8 scaled = x.at[i] * step.inverse;
      q.at[i] = kDigits == 3 && args.activation == Activation::mxfp8 ? e4m3_units(scaled) : rounded(scaled);
    }
    for (std::size_t d = kDigits; d-- > 0;) {
      IntBlock digit;
      for (int i = 0; i < 4; ++i) {
        digit.at[i] = d > 0 ? ((q.at[i] + kHalf) & kMask) - kHalf : q.at[i];
        if (d > 0) q.at[i] = (q.at[i] - digit.at[i]) >> kBits;
      }
      store_bytes(to + 32 * d, digit);
      const Ints8 sums = (digit.at[0] + digit.at[1]) + (digit.at[2] + digit.at[3]);
      const std::int32_t offset = I::offset(sums);
      std::memcpy(to + 32 * kDigits + 4 * d, &offset, sizeof offset);
    }
    const float half_step = step.step * 0.5f;
    std::memcpy(to + 36 * kDigits, &half_step, sizeof half_step);
  }
}

void encode_floats(const EncodeArgs& args) noexcept {
  const float factor = args.plan.format == TokenFormat::raw ? 1.0f : f32_power_of_two(-args.plan.exponent);
  for (std::size_t b = 0; b < args.blocks; ++b) {
    const FloatBlock x = to_plane(args.x + 32 * b, args.order, factor);
    for (std::size_t i = 0; i < 4; ++i) std::memcpy(args.record + sizeof x * b + 32 * i, &x.at[i], 32);
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
