#include "mxfp4/codec/e8m0.h"

#include <cmath>

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

static_assert(e8m0_value(127) == 1.0f && e8m0_value(0) == 0x1p-127f && e8m0_value(254) == 0x1p127f);
static_assert(power_of_two(-1022) == 0x1p-1022 && power_of_two(1023) == 0x1p1023);

TEST(E8m0, IsAPowerOfTwoForEveryByteButTheLast) {
  for (int byte = 0; byte < 255; ++byte) {
    EXPECT_EQ(e8m0_value(static_cast<std::uint8_t>(byte)), std::ldexp(1.0, byte - 127)) << "byte " << byte;
  }
}

TEST(E8m0, Byte255IsNaN) {
  EXPECT_TRUE(std::isnan(e8m0_value(255)));
}

TEST(Bits, PowersOfTwoAreExactInDouble) {
  for (int k = -1022; k <= 1023; ++k) EXPECT_EQ(power_of_two(k), std::ldexp(1.0, k)) << k;
}

TEST(Bits, TellFiniteInfiniteAndNaNApart) {
  for (std::uint32_t upper = 0; upper < 65536; ++upper) {
    for (const std::uint32_t lower : {0u, 1u, 0xFFFFu}) {
      const float x = bit_cast<float>(upper << 16 | lower);
      EXPECT_EQ(is_finite(x), static_cast<bool>(std::isfinite(x))) << f32_bits(x);
      EXPECT_EQ(is_nan(x), static_cast<bool>(std::isnan(x))) << f32_bits(x);
      EXPECT_EQ(sign_bit(x), static_cast<bool>(std::signbit(x))) << f32_bits(x);
      EXPECT_EQ(f32_bits(magnitude(x)), f32_bits(std::fabs(x))) << f32_bits(x);
    }
  }
}

}  // namespace
}  // namespace mxfp4
