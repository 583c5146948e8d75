// Quantising on every instruction set against the reference: the same bytes, counters and sums for every kind
// of input.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/kernel/cpu/odd_block.h"
#include "mxfp4/kernel/test_conformance.h"
#include "mxfp4/kernel/test_quantized.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::kernel {
namespace {

using test::Random;

constexpr Ties kAllTies[] = {Ties::even, Ties::zero, Ties::away};

/// Scales as a reference: mostly near the block's own.
std::vector<std::uint8_t> references_near(const std::vector<std::uint8_t>& scales, Random& random) {
  std::vector<std::uint8_t> references;
  for (const std::uint8_t scale : scales) {
    const int near = scale + test::integer(random, -2, 2);
    const int any = test::integer(random, 0, 255);
    references.push_back(static_cast<std::uint8_t>(near < 0 || near > 255 || random() % 8 == 0 ? any : near));
  }
  return references;
}

void expect_same_counts(const ErrorStats& result, const ErrorStats& expected) {
  EXPECT_EQ(result.elements, expected.elements);
  EXPECT_EQ(result.blocks, expected.blocks);
  EXPECT_EQ(result.lossless_blocks, expected.lossless_blocks);
  EXPECT_EQ(result.saturated, expected.saturated);
  EXPECT_EQ(result.scales, expected.scales);
}

void expect_equal(const Quantized& result, const Quantized& expected) {
  EXPECT_EQ(result.scales, expected.scales);
  EXPECT_EQ(result.codes, expected.codes);
  EXPECT_EQ(result.refused, expected.refused);
  expect_same_counts(result.stats, expected.stats);
}

/// Statistics of bytes that are there have the bits of those that quantising to them has.
void expect_measured(const Ops& ops, const QuantizeArgs& args, const Quantized& bytes) {
  const ErrorStats stats = measured(ops, args, bytes);
  expect_same_counts(stats, bytes.stats);
  EXPECT_EQ(stats.signal, bytes.stats.signal);
  EXPECT_EQ(stats.noise, bytes.stats.noise);
}

class QuantizeConformance : public Conformance {
 protected:
  /// One call, with and without reference scales, against the judge and against the plainest kernels.
  void check_quantize(QuantizeArgs args, Random& random) {
    for (int with_reference = 0; with_reference < 2; ++with_reference) {
      const Quantized expected = quantized(reference_ops(), args);
      const Quantized result = quantized(ops(), args);
      expect_equal(result, expected);
      EXPECT_NEAR(result.stats.signal, expected.stats.signal, 1e-12 * expected.stats.signal);
      EXPECT_NEAR(result.stats.noise, expected.stats.noise, 1e-12 * expected.stats.noise);

      const Quantized scalar = quantized(cpu_ops(Isa::scalar), args);
      EXPECT_EQ(result.stats.signal, scalar.stats.signal);
      EXPECT_EQ(result.stats.noise, scalar.stats.noise);

      if (with_reference == 0 && args.importance.values == nullptr && result.refused == kNone) {
        expect_measured(ops(), args, result);
        expect_measured(reference_ops(), args, expected);
      }

      const Quantized silent = quantized(ops(), args, false);
      EXPECT_EQ(silent.codes, expected.codes);
      EXPECT_EQ(silent.scales, expected.scales);
      references_ = references_near(expected.scales, random);
      args.reference = references_.data();
    }
  }

 private:
  std::vector<std::uint8_t> references_;
};

INSTANTIATE_TEST_SUITE_P(Cpu, QuantizeConformance, testing::ValuesIn(codec_isas()), isa_name);

TEST_P(QuantizeConformance, QuantizesAsTheReferenceDoes) {
  constexpr std::size_t kRows = 4;
  Random random(19);
  for (const Dtype dtype : kDtypes) {
    for (const ScaleRuleInfo& rule : kScaleRules) {
      for (const Ties ties : kAllTies) {
        for (const NonFinite policy : {NonFinite::error, NonFinite::nan_block, NonFinite::saturate}) {
          for (const int block_size : {32, 16}) {
            for (const std::size_t columns : kColumns) {
              const bool finite = policy == NonFinite::error;
              Unaligned x =
                  make_rows(dtype, kRows, columns, static_cast<std::size_t>(block_size), finite, random);
              SCOPED_TRACE(fmt::format("seed 19, {}, {}, ties {}, policy {}, block {}, {} columns",
                                       to_string(dtype), rule.name, static_cast<int>(ties),
                                       static_cast<int>(policy), block_size, columns));
              check_quantize({x.data(), dtype, kRows, columns, block_size, {rule.rule, ties, policy}},
                             random);
              if (HasFailure()) return;
            }
          }
        }
      }
    }
  }
}

TEST_P(QuantizeConformance, WeighsColumnsAsTheReferenceDoes) {
  constexpr std::size_t kRows = 5, kShared = 2;
  Random random(29);
  for (const Dtype dtype : kDtypes) {
    for (const NonFinite policy : {NonFinite::error, NonFinite::nan_block, NonFinite::saturate}) {
      for (const int block_size : {32, 16}) {
        for (const std::size_t columns : kColumns) {
          Unaligned x = make_rows(dtype, kRows, columns, static_cast<std::size_t>(block_size),
                                  policy == NonFinite::error, random);
          // Small integers, so that sums are exact and no order of them decides.
          std::vector<float> weights(4 * columns);
          for (float& weight : weights) weight = static_cast<float>(random() % 3 * (random() % 17));
          SCOPED_TRACE(fmt::format("seed 29, {}, policy {}, block {}, {} columns", to_string(dtype),
                                   static_cast<int>(policy), block_size, columns));
          QuantizeArgs args = {x.data(), dtype,      kRows,
                               columns,  block_size, {ScaleRule::optimal, Ties::even, policy}};
          args.importance = {weights.data(), kShared, 3};
          check_quantize(args, random);
          args.importance = {weights.data(), 0, 0};
          check_quantize(args, random);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_P(QuantizeConformance, QuantizesGroupsOfBlocksWhereTheyLie) {
  // Enough blocks for several groups of any kernel, and some that are left; codes at an address for streaming
  // stores.
  constexpr std::size_t kRows = 7, kWide = 192;
  alignas(64) std::uint8_t codes[kRows * kWide / 2] = {};
  std::uint8_t scales[kRows * kWide / 32] = {};
  Random random(41);
  for (const Dtype dtype : kDtypes) {
    for (const ScaleRuleInfo& rule : kScaleRules) {
      for (const Ties ties : kAllTies) {
        SCOPED_TRACE(
            fmt::format("seed 41, {}, {}, ties {}", to_string(dtype), rule.name, static_cast<int>(ties)));
        Unaligned x = make_rows(dtype, kRows, kWide, 32, true, random);
        QuantizeArgs args{x.data(), dtype, kRows, kWide, 32, {rule.rule, ties, NonFinite::error}};
        const Quantized expected = quantized(reference_ops(), args);
        args.streaming = true;
        args.codes = codes;
        args.scales = scales;
        EXPECT_EQ(ops().quantize(args), kNone);
        EXPECT_EQ(std::vector<std::uint8_t>(std::begin(codes), std::end(codes)), expected.codes);
        EXPECT_EQ(std::vector<std::uint8_t>(std::begin(scales), std::end(scales)), expected.scales);
        check_quantize(args, random);
        if (HasFailure()) return;
      }
    }
  }
}

/// Blocks of every family, and such whose maximum lies up to some 400 floats from where a rule or an origin
/// turns.
std::vector<float> block_near_a_turn(Dtype dtype, Random& random) {
  constexpr float kTurns[] = {1.0f, 1.5f, 1.75f, 1.8125f};
  const std::vector<test::BlockFamily>& families = test::block_families();
  std::vector<float> block = block_for(dtype, families[random() % families.size()], 32, random);
  const int exponent =
      dtype == Dtype::f16 ? test::integer(random, -13, 14) : test::integer(random, -124, 126);
  const std::uint32_t turn = f32_bits(std::ldexp(kTurns[random() % 4], exponent));
  const int reach = random() % 2 == 0 ? 400 : 3;
  const float maximum =
      bit_cast<float>(turn + static_cast<std::uint32_t>(test::integer(random, -reach, reach)));
  if (random() % 3 == 0) return block;
  for (float& x : block) {
    x = static_cast<float>(test::sign(random) * test::uniform(random, 0, 1)) * maximum;
    if (random() % 64 == 0) x = static_cast<float>(test::sign(random) * 0.0);
  }
  block[random() % 32] = maximum;
  for (float& x : block) {
    if (random() % 8 == 0) x = bit_cast<float>((f32_bits(x) & 0xFFFF0000u) | 0x8000u);  // between two bf16
  }
  return block;
}

TEST_P(QuantizeConformance, QuantizesWithEveryPresetAsTheScalarTruthDoes) {
  constexpr std::size_t kBlocks = 320;
  Random random(43);
  for (const Preset& preset : presets()) {
    for (const Dtype dtype : kDtypes) {
      Unaligned x(kBlocks * 32, dtype);
      for (std::size_t i = 0; i < kBlocks * 32; i += 32) {
        const std::vector<float> block = block_near_a_turn(dtype, random);
        for (std::size_t k = 0; k < 32; ++k) x.set(i + k, block[k]);
      }
      QuantizeArgs args{x.data(), dtype, kBlocks, 32, 32, preset.recipe};
      args.recipe.nonfinite = NonFinite::nan_block;  // what overflows in bf16
      const Quantized result = quantized(ops(), args);
      expect_measured(ops(), args, result);
      for (std::size_t b = 0; b < kBlocks; ++b) {
        float elements[32];
        for (std::size_t k = 0; k < 32; ++k) {
          elements[k] = element(x.data(), b * 32 + k, dtype);
          if (preset.recipe.through_bf16) elements[k] = bf16_to_f32(f32_to_bf16(elements[k]));
        }
        std::vector<std::uint8_t> codes(16);
        const std::uint8_t byte =
            quantize_odd_block(elements, dtype, args.recipe, nullptr, nullptr, codes.data());
        const auto begin = result.codes.begin() + static_cast<std::ptrdiff_t>(b * 16);
        ASSERT_EQ(result.scales[b], byte)
            << "seed 43, " << preset.name << ", " << to_string(dtype) << ", block " << b;
        ASSERT_EQ(std::vector<std::uint8_t>(begin, begin + 16), codes)
            << "seed 43, " << preset.name << ", " << to_string(dtype) << ", block " << b;
      }
    }
  }
}

TEST_P(QuantizeConformance, FindsTheFirstElementThatIsNotFinite) {
  Random random(23);
  for (const Dtype dtype : kDtypes) {
    for (const int block_size : {32, 16}) {
      for (const std::size_t columns : kColumns) {
        const std::size_t count = 4 * columns;
        Unaligned x = make_rows(dtype, 4, columns, static_cast<std::size_t>(block_size), true, random);
        for (int later = 0; later < 3; ++later) x.set(count - 1 - random() % (count / 2), NAN);
        const std::size_t first = random() % (count / 2);
        x.set(first, random() % 2 == 0 ? -INFINITY : NAN);
        const QuantizeArgs args{x.data(), dtype, 4, columns, block_size, {}};
        EXPECT_EQ(quantized(ops(), args).refused, first) << "seed 23, " << columns << " columns";
        EXPECT_EQ(quantized(reference_ops(), args).refused, first) << "seed 23, " << columns << " columns";
      }
    }
  }
}

TEST_P(QuantizeConformance, AgreesOnBlocksThatAreNearATieBetweenScales) {
  // The search must not round: {4.46875, 31 times 1/4} ties between s0 and s0 / 2, and each element may be an
  // ulp off.
  Random random(29);
  for (int i = 0; i < 600; ++i) {
    Unaligned x(32, Dtype::f32);
    const float maximum = i % 2 == 0 ? 4.46875f : 7.0f, other = i % 2 == 0 ? 0.25f : 3.5f;
    for (std::size_t k = 0; k < 32; ++k) {
      const std::uint32_t bits = f32_bits(k == 0 ? maximum : other);
      x.set(k, std::ldexp(bit_cast<float>(bits + static_cast<std::uint32_t>(test::integer(random, -1, 1))),
                          i % 200 - 100));
    }
    const QuantizeArgs args{x.data(), Dtype::f32, 1, 32, 32, {}};
    const Quantized expected = quantized(reference_ops(), args);
    const Quantized result = quantized(ops(), args);
    ASSERT_EQ(result.scales, expected.scales) << "seed 29, block " << i;
    ASSERT_EQ(result.codes, expected.codes) << "seed 29, block " << i;
  }
}

TEST_P(QuantizeConformance, MeasuresTheBytesThatAreThere) {
  Random random(47);
  Unaligned x = make_rows(Dtype::f32, 20, 50, 32, true, random);
  const QuantizeArgs args{x.data(), Dtype::f32, 20, 50, 32, {}};
  Quantized bytes = quantized(ops(), args);
  for (std::uint8_t& byte : bytes.scales) byte = 254;
  EXPECT_EQ(measured(ops(), args, bytes).scales[254], 40u);
  for (std::uint8_t& byte : bytes.scales) byte = 127;
  for (std::uint8_t& code : bytes.codes) code = 0;
  const ErrorStats zeros = measured(ops(), args, bytes);
  EXPECT_EQ(zeros.noise, zeros.signal);
  EXPECT_EQ(zeros.signal, bytes.stats.signal);
}

TEST_P(QuantizeConformance, WritesNothingForNoElements) {
  for (const auto& [rows, columns] : {std::pair<std::size_t, std::size_t>{0, 64}, {4, 0}}) {
    const Quantized result = quantized(ops(), {nullptr, Dtype::bf16, rows, columns, 32, {}});
    EXPECT_EQ(result.refused, kNone);
    EXPECT_EQ(result.stats.blocks, 0u);
    EXPECT_EQ(result.stats.noise, 0);
  }
}

}  // namespace
}  // namespace mxfp4::kernel
