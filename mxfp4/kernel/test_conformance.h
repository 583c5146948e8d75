// What the conformance tests share: every instruction set against the reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "mxfp4/codec/float16.h"
#include "mxfp4/codec/test_blocks.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {

inline constexpr Dtype kDtypes[] = {Dtype::f32, Dtype::bf16, Dtype::f16};
inline constexpr std::size_t kColumns[] = {96, 1, 17, 31, 50};

inline std::size_t bytes_of(Dtype dtype) {
  return static_cast<std::size_t>(bits_of(dtype)) / 8;
}

/// Elements at an odd address, and nothing behind the last.
class Unaligned {
 public:
  Unaligned(std::size_t count, Dtype dtype) : dtype_(dtype), bytes_(1 + count * bytes_of(dtype)) {}

  void set(std::size_t i, float x) {
    const std::uint16_t narrow = dtype_ == Dtype::bf16 ? f32_to_bf16(x) : f32_to_f16(x);
    const void* const element = dtype_ == Dtype::f32 ? static_cast<const void*>(&x) : &narrow;
    std::memcpy(data() + i * bytes_of(dtype_), element, bytes_of(dtype_));
  }

  std::byte* data() { return bytes_.data() + 1; }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  Dtype dtype_;
  std::vector<std::byte> bytes_;
};

inline float element(const std::byte* data, std::size_t i, Dtype dtype) {
  if (dtype == Dtype::f32) {
    float x;
    std::memcpy(&x, data + 4 * i, 4);
    return x;
  }
  std::uint16_t bits;
  std::memcpy(&bits, data + 2 * i, 2);
  return dtype == Dtype::bf16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

/// A block that a dtype holds without overflow.
inline std::vector<float> block_for(Dtype dtype, const test::BlockFamily& family, std::size_t n,
                                    test::Random& random) {
  std::vector<float> block = test::make_block(family, n, random);
  float amax = 0;
  for (const float x : block) amax = std::max(amax, std::fabs(x));
  if (amax == 0) return block;
  const int room = dtype == Dtype::bf16 ? 126 : 14;
  if (dtype == Dtype::f32 || (dtype == Dtype::bf16 && std::ilogb(amax) <= room)) return block;
  const int exponent = test::integer(random, -26, room) - std::ilogb(amax);
  for (float& x : block) x = std::ldexp(x, exponent);
  return block;
}

/// Rows of blocks of all families.
inline Unaligned make_rows(Dtype dtype, std::size_t rows, std::size_t columns, std::size_t block_size,
                           bool finite, test::Random& random) {
  constexpr float kBad[] = {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN(),
                            -std::numeric_limits<float>::quiet_NaN()};
  const std::vector<test::BlockFamily>& families = test::block_families();
  Unaligned x(rows * columns, dtype);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t begin = 0; begin < columns; begin += block_size) {
      const std::size_t n = std::min(block_size, columns - begin);
      const test::BlockFamily& family = families[random() % families.size()];
      std::vector<float> block = block_for(dtype, family, n, random);
      if (!finite && random() % 4 == 0) block[random() % n] = kBad[random() % 4];
      if (!finite && random() % 4 == 0) block[random() % n] = kBad[random() % 4];
      for (std::size_t i = 0; i < n; ++i) x.set(row * columns + begin + i, block[i]);
    }
  }
  return x;
}

/// Instruction sets, one for each table of kernels: the one that asks for the least.
inline std::vector<Isa> codec_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : built_isas()) {
    if (!isas.empty() && &cpu_ops(isas.back()) == &cpu_ops(isa)) isas.pop_back();
    isas.push_back(isa);
  }
  return isas;
}

class Conformance : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!supported(GetParam())) {
      GTEST_SKIP() << "this machine cannot run " << to_string(GetParam()) << ", which needs "
                   << fmt::format("{}", fmt::join(required_features(GetParam()), " "));
    }
  }
  static const Ops& ops() { return cpu_ops(GetParam()); }
};

inline std::string isa_name(const testing::TestParamInfo<Isa>& isa) {
  return to_string(isa.param);
}

}  // namespace mxfp4::kernel
