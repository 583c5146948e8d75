#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/job/synth_weights_internal.h"

namespace mxfp4::job {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr double kSigma = 0.02;
constexpr std::size_t kHalf = 1 << 15;

/// quantile[i] is the standard normal quantile of 1/2 + (i + 1/2) / 65536.
///
/// With p(x) the normal distribution function and w = dx/dp = sqrt(2 pi) exp(x^2 / 2), the pair (x, w)
/// follows x' = w, w' = x w^2. Stepping along p needs neither exp nor log, so the table does not depend on a
/// machine's math library.
std::array<double, kHalf> normal_quantiles() {
  constexpr int kSteps = 16;  // to one entry: the last ones lie far out, where w grows fast
  constexpr double kSqrt2Pi = 2.5066282746310002;
  const auto dw = [](double x, double w) { return x * w * w; };
  std::array<double, kHalf> quantile;
  double x = 0, w = kSqrt2Pi;
  for (std::size_t i = 0; i < kHalf; ++i) {
    const double h = (i == 0 ? 0.5 : 1.0) / (2.0 * kHalf * kSteps);
    for (int step = 0; step < kSteps; ++step) {  // the classical method of fourth order
      const double x1 = w, w1 = dw(x, w);
      const double x2 = w + h / 2 * w1, w2 = dw(x + h / 2 * x1, x2);
      const double x3 = w + h / 2 * w2, w3 = dw(x + h / 2 * x2, x3);
      const double x4 = w + h * w3, w4 = dw(x + h * x3, x4);
      x += h / 6 * (x1 + 2 * x2 + 2 * x3 + x4);
      w += h / 6 * (w1 + 2 * w2 + 2 * w3 + w4);
    }
    quantile[i] = x;
  }
  return quantile;
}

/// How MXFP4 weights under one scale byte look.
struct ScaleTable {
  std::uint8_t byte = 0;
  std::uint32_t until = 0;  ///< of 65536: a block has this byte or one before it in the list
  std::array<std::uint8_t, 65536> pairs = {};  ///< two codes, from 16 random bits
};

struct Tables {
  std::array<std::uint16_t, kHalf> bf16;  ///< magnitudes of weights, in ascending order
  std::array<ScaleTable, 3> scales;

  Tables() {
    const std::array<double, kHalf> quantile = normal_quantiles();
    for (std::size_t i = 0; i < kHalf; ++i) bf16[i] = f32_to_bf16(static_cast<float>(kSigma * quantile[i]));
    std::uint8_t byte = 119;  // 32 weights with a maximum below 7.25 * 2^-9 or above 7.25 * 2^-5 hardly exist
    for (ScaleTable& scale : scales) {
      const double unit = kSigma / power_of_two(byte - kE8m0Bias);
      // A block has the smallest scale with amax <= 7.25 * scale, which is nearly the optimal one.
      const auto below = static_cast<std::size_t>(
          std::lower_bound(quantile.begin(), quantile.end(), 7.25 / unit) - quantile.begin());
      double all_below = static_cast<double>(below) / kHalf;
      for (int squared = 0; squared < 5; ++squared) all_below *= all_below;  // of 32 elements
      scale.byte = byte++;
      scale.until = static_cast<std::uint32_t>(all_below * 65536);
      std::array<std::uint8_t, 256> codes;
      for (std::size_t i = 0; i < 128; ++i) {
        const double magnitude = quantile[(2 * i + 1) * below / 256] * unit;
        codes[i] = e2m1_encode_magnitude(magnitude, Ties::even);
        codes[i + 128] = codes[i] | kE2m1Sign;
      }
      for (std::size_t i = 0; i < 65536; ++i) scale.pairs[i] = pack_nibbles(codes[i & 255], codes[i >> 8]);
    }
    scales.back().until = 65536;
  }
};

const Tables& tables() {
  static const std::unique_ptr<const Tables> instance = std::make_unique<Tables>();
  return *instance;
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of z decides over every bit of the
/// result.
constexpr std::uint64_t mix(std::uint64_t z) noexcept {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/// Word `index` of the stream of a key.
constexpr std::uint64_t word(std::uint64_t key, std::uint64_t index) noexcept {
  return mix(key + (index + 1) * 0x9E3779B97F4A7C15u);
}

}  // namespace

std::uint64_t random_key(std::uint64_t seed, std::string_view tensor, std::uint64_t unit) noexcept {
  std::uint64_t key = mix(seed + 0x9E3779B97F4A7C15u);
  for (const char c : tensor) key = mix(key ^ static_cast<unsigned char>(c));
  return mix(key + mix(unit + 1));
}

void random_bf16(std::uint64_t key, std::span<std::byte> out) {
  const std::array<std::uint16_t, kHalf>& magnitudes = tables().bf16;
  const auto four = [&](std::uint64_t bits) {
    std::uint64_t result = bits & 0x8000800080008000u;  // the signs
    for (int shift = 0; shift < 64; shift += 16) {
      result |= static_cast<std::uint64_t>(magnitudes[bits >> shift & (kHalf - 1)]) << shift;
    }
    return result;
  };
  const std::size_t words = out.size() / 8;
  for (std::size_t i = 0; i < words; ++i) {
    const std::uint64_t elements = four(word(key, i));
    std::memcpy(out.data() + 8 * i, &elements, 8);
  }
  if (out.size() % 8 == 0) return;  // memcpy must not see the null of an empty span
  const std::uint64_t last = four(word(key, words));
  std::memcpy(out.data() + 8 * words, &last, out.size() % 8);
}

void random_mxfp4(std::uint64_t key, std::span<std::byte> codes, std::span<std::byte> scales) {
  const auto& list = tables().scales;
  std::byte* out = codes.data();
  for (std::size_t block = 0; block < scales.size(); ++block) {
    const std::uint64_t first = 5 * block;
    const std::uint64_t draw = word(key, first) & 0xFFFF;
    const ScaleTable* scale = list.data();
    while (draw >= scale->until) ++scale;
    scales[block] = std::byte{scale->byte};
    for (std::uint64_t i = 1; i <= 4; ++i) {
      const std::uint64_t bits = word(key, first + i);
      for (int shift = 0; shift < 64; shift += 16) *out++ = std::byte{scale->pairs[bits >> shift & 0xFFFF]};
    }
  }
}

}  // namespace mxfp4::job
