// Dequantising and passing over memory on every instruction set: the same bytes everywhere.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/codec/test_blocks.h"
#include "mxfp4/kernel/linear_ops.h"
#include "mxfp4/kernel/test_conformance.h"

namespace mxfp4::kernel {
namespace {

using test::Random;

class DequantizeConformance : public Conformance {};
INSTANTIATE_TEST_SUITE_P(Cpu, DequantizeConformance, testing::ValuesIn(codec_isas()), isa_name);

TEST_P(DequantizeConformance, DequantizesEveryCodeUnderEveryByteAsTheReferenceDoes) {
  Random random(31);
  for (const Dtype dtype : kDtypes) {
    for (const int block_size : {32, 16}) {
      for (const NibbleOrder order : {NibbleOrder::interleaved, NibbleOrder::split16}) {
        if (order == NibbleOrder::split16 && block_size == 16) continue;
        for (const std::size_t columns : kColumns) {
          const std::size_t rows = 512, size = static_cast<std::size_t>(block_size);
          const std::size_t blocks = rows * ((columns + size - 1) / size);
          std::vector<std::uint8_t> codes(blocks * size / 2), scales(blocks);
          for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
          for (std::size_t b = 0; b < blocks; ++b) scales[b] = static_cast<std::uint8_t>(b);
          Unaligned out(rows * columns, dtype), expected(rows * columns, dtype),
              scalar(rows * columns, dtype);
          DequantizeArgs args{codes.data(), scales.data(), rows,  columns,
                              block_size,   order,         dtype, out.data()};
          ops().dequantize(args);
          args.out = expected.data();
          reference_ops().dequantize(args);
          args.out = scalar.data();
          cpu_ops(Isa::scalar).dequantize(args);
          EXPECT_EQ(out.bytes(), scalar.bytes());
          for (std::size_t i = 0; i < rows * columns; ++i) {
            const float value = element(out.data(), i, dtype), wanted = element(expected.data(), i, dtype);
            ASSERT_TRUE(f32_bits(value) == f32_bits(wanted) || (std::isnan(value) && std::isnan(wanted)))
                << "seed 31, " << to_string(dtype) << ", block " << block_size << ", " << columns
                << " columns: element " << i << " is " << value << ", not " << wanted;
          }
        }
      }
    }
  }
}

TEST_P(DequantizeConformance, DequantizesPastTheCachesTheSame) {
  constexpr std::size_t kRows = 16, kWide = 64, kBlocks = kRows * kWide / 32;
  alignas(64) std::byte out[kRows * kWide * 4], expected[kRows * kWide * 4];
  std::uint8_t codes[kBlocks * 16], scales[kBlocks];
  Random random(37);
  for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
  for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(random() % 255);
  for (const Dtype dtype : kDtypes) {
    for (const NibbleOrder order : {NibbleOrder::interleaved, NibbleOrder::split16}) {
      DequantizeArgs args{codes, scales, kRows, kWide, 32, order, dtype, out, true};
      ops().dequantize(args);
      args.out = expected;
      reference_ops().dequantize(args);
      EXPECT_EQ(std::memcmp(out, expected, kRows * kWide * bytes_of(dtype)), 0)
          << "seed 37, " << to_string(dtype);
    }
  }
}

TEST_P(DequantizeConformance, PassesOverMemoryAndWritesAllOfIt) {
  alignas(64) std::byte in[64 * 40], out[64 * 9];
  for (const bool streaming : {false, true}) {
    std::memset(in, 0, sizeof in);
    std::memset(out, 1, sizeof out);
    ops().stream({in, sizeof in, out, sizeof out, streaming, 0});
    for (const std::byte byte : out) ASSERT_EQ(byte, std::byte{0});
    in[0] = std::byte{7};
    ops().stream({in, sizeof in, out, sizeof out, streaming, 0});
    EXPECT_NE(std::count(std::begin(out), std::end(out), std::byte{7}), 0);
  }
}

TEST(CpuOps, BelongToTheInstructionSetThatTheListNames) {
  struct Line {
    Isa isa, codec, linear;
  };
  const Line lines[] = {
#define MXFP4_ISA_NAME(name, codec, linear, features) {Isa::name, Isa::codec, Isa::linear},
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
  };
  for (const Line& a : lines) {
    for (const Line& b : lines) {
      EXPECT_EQ(&cpu_ops(a.isa) == &cpu_ops(b.isa), a.codec == b.codec)
          << to_string(a.isa) << " and " << to_string(b.isa);
      EXPECT_EQ(&cpu_linear_ops(a.isa) == &cpu_linear_ops(b.isa), a.linear == b.linear)
          << to_string(a.isa) << " and " << to_string(b.isa);
    }
  }
}

}  // namespace
}  // namespace mxfp4::kernel
