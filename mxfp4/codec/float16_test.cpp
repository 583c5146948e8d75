#include "mxfp4/codec/float16.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

static_assert(bf16_to_f32(0x3F80) == 1.0f && f32_to_bf16(1.0f) == 0x3F80);
static_assert(f16_to_f32(0x3C00) == 1.0f && f32_to_f16(65519.0f) == 0x7BFF && f32_to_f16(65520.0f) == 0x7C00);

/// A 16-bit format, formulated in double.
struct Format {
  const char* name;
  int exponent_bits, mantissa_bits;
  float (*to_f32)(std::uint16_t);
  std::uint16_t (*from_f32)(float);

  int infinity() const { return ((1 << exponent_bits) - 1) << mantissa_bits; }
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }

  /// Value of finite non-negative bits.
  double value(int bits) const {
    const int field = bits >> mantissa_bits, mantissa = bits & ((1 << mantissa_bits) - 1);
    const int unit = (field == 0 ? 1 : field) - bias() - mantissa_bits;
    return std::ldexp(field == 0 ? mantissa : mantissa + (1 << mantissa_bits), unit);
  }
};

const Format kFormats[] = {
    {"bf16", 8, 7, [](std::uint16_t b) { return bf16_to_f32(b); }, [](float x) { return f32_to_bf16(x); }},
    {"f16", 5, 10, [](std::uint16_t b) { return f16_to_f32(b); }, [](float x) { return f32_to_f16(x); }},
};

TEST(Float16, WidensAll65536ValuesExactly) {
  for (const Format& format : kFormats) {
    for (int bits = 0; bits < 65536; ++bits) {
      const int magnitude = bits & 0x7FFF;
      const float x = format.to_f32(static_cast<std::uint16_t>(bits));
      EXPECT_EQ(std::signbit(x), bits >= 0x8000) << format.name << " " << bits;
      if (magnitude > format.infinity()) {
        EXPECT_TRUE(std::isnan(x)) << format.name << " " << bits;
      } else if (magnitude == format.infinity()) {
        EXPECT_TRUE(std::isinf(x)) << format.name << " " << bits;
      } else {
        EXPECT_EQ(std::fabs(x), format.value(magnitude)) << format.name << " " << bits;
      }
    }
  }
}

TEST(Float16, NarrowsEveryValueOfItsOwnToItself) {
  for (const Format& format : kFormats) {
    for (int bits = 0; bits < 65536; ++bits) {
      const auto narrow = static_cast<std::uint16_t>(bits);
      const std::uint16_t back = format.from_f32(format.to_f32(narrow));
      if ((bits & 0x7FFF) > format.infinity()) {
        EXPECT_GT(back & 0x7FFF, format.infinity()) << format.name << " " << bits;
        EXPECT_EQ(back & 0x8000, bits & 0x8000) << format.name << " " << bits;
      } else {
        EXPECT_EQ(back, narrow) << format.name;
      }
    }
  }
}

TEST(Float16, RoundsToNearestAndTiesToEvenBetweenAnyTwoNeighbours) {
  for (const Format& format : kFormats) {
    for (int lower = 0; lower < format.infinity(); ++lower) {
      // above the largest value stands what would be the next one, if the exponent went on
      const double upper_value = lower + 1 < format.infinity()
                                     ? format.value(lower + 1)
                                     : std::ldexp(2.0, (1 << format.exponent_bits) - 2 - format.bias());
      const double middle = (format.value(lower) + upper_value) / 2;
      const float tie = static_cast<float>(middle);
      ASSERT_EQ(tie, middle);  // f32 holds it
      const int even = lower % 2 == 0 ? lower : lower + 1;
      EXPECT_EQ(format.from_f32(tie), even) << format.name << " " << lower;
      EXPECT_EQ(format.from_f32(-tie), even | 0x8000) << format.name << " " << lower;
      EXPECT_EQ(format.from_f32(std::nextafter(tie, 0.0f)), lower) << format.name << " " << lower;
      const float above = std::nextafter(tie, std::numeric_limits<float>::infinity());
      EXPECT_EQ(format.from_f32(above), lower + 1) << format.name << " " << lower;
    }
  }
}

TEST(Float16, OverflowsToInfinityAndKeepsNaN) {
  for (const Format& format : kFormats) {
    EXPECT_EQ(format.from_f32(std::numeric_limits<float>::max()), format.infinity()) << format.name;
    EXPECT_EQ(format.from_f32(-std::numeric_limits<float>::infinity()), format.infinity() | 0x8000)
        << format.name;
    for (const std::uint32_t bits : {0x7F800001u, 0x7FC00000u, 0x7FFFFFFFu, 0xFF800001u, 0xFFFFFFFFu}) {
      const std::uint16_t nan = format.from_f32(bit_cast<float>(bits));
      EXPECT_GT(nan & 0x7FFF, format.infinity()) << format.name << " " << bits;
      EXPECT_EQ(nan >> 15, bits >> 31) << format.name << " " << bits;
    }
  }
}

}  // namespace
}  // namespace mxfp4
