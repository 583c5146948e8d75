// One ordinary block in vectors: finite, and with no reference scale that differs from its own.
#pragma once

#include "mxfp4/codec/block.h"
#include "mxfp4/kernel/cpu/vector.h"

namespace mxfp4::kernel {
namespace {

/// A tie rule as data: the code of a quotient is the number of thresholds below it. Where a tie goes up, the
/// threshold is the f32 just below the midpoint.
struct Thresholds {
  explicit Thresholds(Ties ties) noexcept {
    for (int c = 0; c < 7; ++c) {
      const std::uint32_t midpoint = f32_bits(kE2m1Midpoints[c]);
      value[c] = bit_cast<float>(e2m1_tie_goes_up(c, ties) ? midpoint - 1 : midpoint);
    }
  }
  float value[7];
};

template <int B>
struct Block {
  static constexpr int kVectors = B / kLanes;
  Floats x[kVectors];
  Ints code[kVectors];  ///< 0..7, without the sign
  std::uint8_t byte;
  bool saturated;  ///< the maximum exceeds 6 * scale
};

Ints encode(Floats quotient, const Thresholds& thresholds) noexcept {
  Ints code = {};
  for (const float threshold : thresholds.value) code -= quotient > threshold;  // true is -1
  return code;
}

/// Bits of the largest magnitude; those of infinity or above if an element is not finite.
template <int B>
std::int32_t amax_bits(const Block<B>& block) noexcept {
  Ints most = {};
  for (const Floats x : block.x) {
    const Ints bits = bit_cast<Ints>(magnitudes(x));
    most = bits > most ? bits : most;
  }
  return largest(most);
}

/// excess_error() of codec/block.h for a scale that is `ratio` = 2 or 1/2 times that of `code`. Where two
/// values differ v is at least 1/8, and 2v - (q0 + q) is exact in f32: a multiple of the last bit of 2v, and
/// no larger than 2v.
template <int B>
double excess(const Floats* v, const Ints* code, const Ints* other, float ratio) noexcept {
  Sum8 sum;
  for (int j = 0; j < B / kLanes; ++j) {
    const Floats q0 = e2m1_magnitudes(code[j]);
    const Floats q = e2m1_magnitudes(other[j]) * ratio;
    const Widened difference = widened(q0 - q);
    const Widened factor = widened(2.0f * v[j] - (q0 + q));
    sum.add(j, difference.low * factor.low, difference.high * factor.high);
  }
  return sum.total();
}

/// Chooses the scale and the codes of a block. The quotients |x| * 2^(127 - byte) are exact in f32 down to
/// 2^-126, and below that it does not matter what they are rounded to.
template <int B>
void quantize_block(Block<B>& block, float amax, ScaleRule rule, const Thresholds& thresholds) noexcept {
  const std::uint8_t byte = scale_byte(rule, amax);
  const float to_quotient = bit_cast<float>(static_cast<std::uint32_t>(2 * kE8m0Bias - byte) << 23);
  const float top = amax * to_quotient;
  Floats v[block.kVectors];
  for (int j = 0; j < block.kVectors; ++j) {
    v[j] = magnitudes(block.x[j]) * to_quotient;
    block.code[j] = encode(v[j], thresholds);
  }
  block.byte = byte;
  block.saturated = top > kE2m1Max;
  if (rule != ScaleRule::optimal) return;

  const bool up = top > kOptimalUp;
  const bool down = B >= kOptimalDownElements && top < kOptimalDown && byte > 0;
  if (!up && !down) return;
  const float ratio = up ? 2.0f : 0.5f;
  Ints other[block.kVectors];
  for (int j = 0; j < block.kVectors; ++j) other[j] = encode(v[j] * (up ? 0.5f : 2.0f), thresholds);
  if (!(excess<B>(v, block.code, other, ratio) < 0.0)) return;
  for (int j = 0; j < block.kVectors; ++j) block.code[j] = other[j];
  block.byte = static_cast<std::uint8_t>(up ? byte + 1 : byte - 1);
  block.saturated = top > kE2m1Max * ratio;
}

/// Packs codes with the signs of x, two to a byte, the even element in the low nibble. Byte j of 64-bit lane
/// i holds elements 2i and 2i + 1 of vector j; their places in the block follow by transposing.
template <int B>
void pack(const Block<B>& block, std::uint8_t* out) noexcept {
  Pairs bytes = {};
  for (int j = 0; j < block.kVectors; ++j) {
    const Words sign = bit_cast<Words>(block.x[j]) >> 28 & 8u;
    const Pairs two = bit_cast<Pairs>(bit_cast<Words>(block.code[j]) | sign);
    bytes |= ((two | two >> 28) & 0xFFu) << (8 * j);
  }
  const Bytes16 packed = transposed(bytes);
  std::memcpy(out, &packed, B / 2);
}

}  // namespace
}  // namespace mxfp4::kernel
