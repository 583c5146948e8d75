// The scale and the codes of any block under any recipe. Quotients by powers of two are exact in double.
#include "mxfp4/kernel/cpu/odd_block.h"

#include <algorithm>
#include <cmath>

#include "mxfp4/codec/float16.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/codec/weighted.h"

namespace mxfp4::kernel {
namespace {

constexpr int kElements = 32;

/// How a block is written: elements are divided by 2^exponent, which need not be what the byte says.
struct Scale {
  int byte = 0;
  int exponent = 0;
  std::uint8_t six = 6;   ///< what becomes of the magnitude code 6
  bool all_zero = false;  ///< every code is 0
};

Scale plain(int byte) {
  return {byte, byte - kE8m0Bias};
}

/// log2 a, rounded once to f32.
float log2_f32(float a) {
  return static_cast<float>(std::log2(static_cast<double>(a)));
}

/// An integer that may be infinite, as an int.
int whole(float x) {
  return static_cast<int>(std::clamp(x, -1000.0f, 1000.0f));
}

int ceil_log2(float x) {
  int exponent = 0;
  const float fraction = std::frexp(x, &exponent);
  return fraction == 0.5f ? exponent - 1 : exponent;
}

/// The codes of ggml and the argmin of qwantize compare values as f32: 4 * 2^126 is none, and the next lower
/// wins.
Scale with_six(Scale scale, std::uint8_t six) {
  if (scale.byte == 253) scale.six = six;
  return scale;
}

Scale ggml(float a) {
  if (!(a > 0)) return plain(0);
  return with_six(plain((whole(std::floor(log2_f32(a))) + 125) & 0xFF), 5);
}

Scale torchao(float a, ScaleRule rule) {
  if (is_nan(a)) return plain(kE8m0Nan);
  const int byte = std::max(static_cast<int>((f32_bits(a) + info(rule).offset) >> 23) - 2, 0);
  return {byte, std::max(byte, 1) - kE8m0Bias};
}

Scale torchao_rceil(float a) {
  if (is_nan(a)) return plain(kE8m0Nan);
  const float d = a / 6.0f;
  const int k = d > 0 ? std::clamp(whole(std::ceil(log2_f32(d))), -127, 127) : -127;
  return {k + kE8m0Bias, k == -127 ? 0 : k};
}

Scale compressed_tensors(float a, Dtype dtype) {
  const bool half = dtype == Dtype::f16;
  if (a >= (half ? 1.75f * 0x1p15f : 1.75f * 0x1p127f)) return {kE8m0Bias, 0, 6, true};
  if (!half) return plain(scale_byte(ScaleRule::even, a));
  const int exponent = ((f32_to_f16(a) + 0x100) & 0x7C00) >> 10;
  return plain(exponent == 0 ? kE8m0Bias : exponent - 15 - 2 + kE8m0Bias);
}

Scale modelopt(float a) {
  const float d = a / 6.0f;
  return plain((d > 0 ? std::max(whole(std::ceil(log2_f32(d))), -127) : -127) + kE8m0Bias);
}

Scale quark(float a) {
  const int byte = a >= 1.75f * 0x1p127f ? 254 : scale_byte(ScaleRule::even, a);
  return {std::max(byte, 1), byte - kE8m0Bias};
}

Scale mistralrs(float a) {
  if (!(a > 0)) return plain(kE8m0Bias);
  return plain(std::clamp(whole(std::floor(log2_f32(a / 6.0f))), -127, 127) + kE8m0Bias);
}

Scale mlx(float a, Dtype dtype) {
  const float d = dtype == Dtype::bf16  ? bf16_to_f32(f32_to_bf16(a / 6.0f))
                  : dtype == Dtype::f16 ? f16_to_f32(f32_to_f16(a / 6.0f))
                                        : a / 6.0f;
  const int k = d > 0 ? ceil_log2(d) : 0;
  return {(k + kE8m0Bias) & 0xFF, k};
}

Scale microxcaling(float a) {
  const int byte = a > 0 ? whole(std::floor(log2_f32(a))) + 125 : 0;
  return with_six(plain(std::clamp(byte, 0, 254)), 7);
}

float qwantize_log2(float a) {
  return log2_f32(std::max(a, 1e-30f));
}

Scale qwantize_naive(float a) {
  return plain(std::clamp(whole(std::floor((qwantize_log2(a) - 2.0f) + 127.0f)), 1, 254));
}

/// The squared error as torch adds it in f32: rows of 8 in order, then their lanes in order.
float qwantize_error(const float* x, int byte) {
  float lanes[8] = {};
  for (int i = 0; i < kElements; ++i) {
    const double quotient = static_cast<double>(magnitude(x[i])) * power_of_two(kE8m0Bias - byte);
    const double value =
        kE2m1Magnitudes[e2m1_encode_magnitude(quotient, Ties::zero)] * power_of_two(byte - kE8m0Bias);
    const float q = value >= 0x1p128 ? bit_cast<float>(kInfinityBits) : static_cast<float>(value);
    const float error = magnitude(x[i]) - q;
    const float square = error * error;
    lanes[i % 8] = i < 8 ? square : lanes[i % 8] + square;
  }
  float sum = lanes[0];
  for (int i = 1; i < 8; ++i) sum += lanes[i];
  return sum;
}

Scale qwantize_optimal(const float* x, float a) {
  const int byte = std::clamp(whole(std::floor(qwantize_log2(a) + 125.0f)), 1, 254);
  const int next = std::min(byte + 1, 254);
  return with_six(plain(qwantize_error(x, next) < qwantize_error(x, byte) ? next : byte), 5);
}

Scale scale_of(Origin origin, const Recipe& recipe, const float* x, float a, Dtype dtype) {
  switch (origin) {
    case Origin::none:
      break;
    case Origin::ggml:
      return ggml(a);
    case Origin::torchao:
      return torchao(a, recipe.scale);
    case Origin::torchao_rceil:
      return torchao_rceil(a);
    case Origin::compressed_tensors:
      return compressed_tensors(a, dtype);
    case Origin::modelopt:
      return modelopt(a);
    case Origin::quark:
      return quark(a);
    case Origin::mistralrs:
      return mistralrs(a);
    case Origin::mlx:
      return mlx(a, dtype);
    case Origin::microxcaling:
      return microxcaling(a);
    case Origin::qwantize_naive:
      return qwantize_naive(a);
    case Origin::qwantize_optimal:
      return qwantize_optimal(x, a);
  }
  return plain(block_byte(x, kElements, recipe));
}

/// The largest magnitude as an origin finds it: infinity counts, and NaN does unless it compares itself away.
float whole_amax(const float* x, Origin origin) {
  std::uint32_t most = 0;
  for (int i = 0; i < kElements; ++i) {
    if (is_nan(x[i]) && origin == Origin::mistralrs) continue;
    most = std::max(most, magnitude_bits(x[i]));
  }
  return bit_cast<float>(most);
}

std::uint8_t code_of(float x, const Scale& scale, const Recipe& recipe) {
  if (scale.all_zero) return 0;
  const bool as_origin = recipe.nonfinite == NonFinite::origin;
  if (is_nan(x) && !as_origin) return 0;
  const double quotient = static_cast<double>(magnitude(x)) * power_of_two(-scale.exponent);
  std::uint8_t code = is_nan(x) ? std::uint8_t{7} : e2m1_encode_magnitude(quotient, recipe.ties);
  if (code == 6) code = scale.six;
  const bool zero = magnitude(x) == 0;
  const bool sign = recipe.zeros == Zeros::never   ? sign_bit(x) && code != 0
                    : recipe.zeros == Zeros::exact ? sign_bit(x) && !zero
                    : recipe.zeros == Zeros::all   ? sign_bit(x) || zero
                                                   : sign_bit(x);
  return sign ? static_cast<std::uint8_t>(code | kE2m1Sign) : code;
}

}  // namespace

std::uint8_t quantize_odd_block(const float* x, Dtype dtype, const Recipe& recipe,
                                const std::uint8_t* reference, const float* weights,
                                std::uint8_t* codes) noexcept {
  const Origin origin = origin_of(recipe);
  const bool as_origin = recipe.nonfinite == NonFinite::origin;
  const bool all_finite = std::all_of(x, x + kElements, [](float v) { return is_finite(v); });
  Scale scale;
  if (recipe.nonfinite == NonFinite::nan_block && !all_finite) {
    scale = plain(kE8m0Nan);
  } else if (weights != nullptr) {
    scale = plain(weighted_byte(x, weights, kElements));
  } else {
    scale = scale_of(origin, recipe, x, as_origin ? whole_amax(x, origin) : finite_amax(x, kElements), dtype);
  }
  if (reference != nullptr) {
    const auto own = static_cast<std::uint8_t>(scale.byte);
    const std::uint8_t kept = kept_byte(x, kElements, own, *reference, weights);
    if (kept != own) scale = plain(kept);
  }
  const bool nan = scale.byte == kE8m0Nan && !all_finite;
  for (int i = 0; i < kElements; i += 2) {
    codes[i / 2] = nan ? pack_nibbles(kE2m1Nan, kE2m1Nan)
                       : pack_nibbles(code_of(x[i], scale, recipe), code_of(x[i + 1], scale, recipe));
  }
  return static_cast<std::uint8_t>(scale.byte);
}

}  // namespace mxfp4::kernel
