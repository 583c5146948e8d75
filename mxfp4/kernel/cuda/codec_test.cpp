// What the device's codec computes, run on the host lane by lane, against the processor's kernels: the same
// bytes.
#include <algorithm>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/codec/test_blocks.h"
#include "mxfp4/kernel/cuda/codec_plan.h"
#include "mxfp4/kernel/cuda/dequantize_value.h"
#include "mxfp4/kernel/cuda/quantize_block.h"
#include "mxfp4/kernel/ops.h"
#include "mxfp4/kernel/test_conformance.h"

namespace mxfp4::kernel::cuda {
namespace {

struct Block {
  std::uint8_t byte = 0;
  std::uint8_t codes[16] = {};
};

/// A block as `lanes` lanes quantise it that merge what they have as a butterfly does.
template <bool kPlain>
Block quantize_in_lanes(const std::vector<float>& x, int lanes, const QuantizeRule& rule) {
  const int n = static_cast<int>(x.size()) / lanes;
  std::vector<Scan> scans;
  for (int l = 0; l < lanes; ++l) scans.push_back(scan(x.data() + l * n, n));
  for (int step = 1; step < lanes; step *= 2) {
    const std::vector<Scan> before = scans;
    for (int l = 0; l < lanes; ++l) scans[l] = merged(before[l], before[l ^ step]);
  }
  const Choice choice = choose(scans[0].most, rule);
  std::vector<Excess> sums;
  for (int l = 0; l < lanes; ++l) sums.push_back(excess(x.data() + l * n, n, choice));
  for (int step = 1; step < lanes; step *= 2) {
    const std::vector<Excess> before = sums;
    for (int l = 0; l < lanes; ++l) sums[l] = merged(before[l], before[l ^ step]);
  }
  const bool nan = nan_block(scans[0], rule);
  const int byte = decide(choice, sums[0]);
  Block block;
  block.byte = nan ? kE8m0Nan : static_cast<std::uint8_t>(byte);
  for (int l = 0; l < lanes; ++l) {
    const std::uint32_t word = codes_of<kPlain>(x.data() + l * n, n, byte, nan, rule);
    std::memcpy(block.codes + l * n / 2, &word, static_cast<std::size_t>(n / 2));
  }
  return block;
}

/// Some way of cutting a block for the processor's kernel, which must give the same.
void expect_as_processor(const std::vector<float>& x, Dtype dtype, const Recipe& recipe, const char* family) {
  const auto size = x.size();
  std::vector<std::byte> elements(size * 4);
  std::vector<float> seen(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint16_t narrow = dtype == Dtype::bf16 ? f32_to_bf16(x[i]) : f32_to_f16(x[i]);
    if (dtype == Dtype::f32) {
      std::memcpy(elements.data() + 4 * i, &x[i], 4);
    } else {
      std::memcpy(elements.data() + 2 * i, &narrow, 2);
    }
    seen[i] = element(elements.data(), i, dtype);
    if (recipe.through_bf16) seen[i] = bf16_to_f32(f32_to_bf16(seen[i]));
  }
  Block expected;
  QuantizeArgs args;
  args.x = elements.data();
  args.dtype = dtype;
  args.rows = 1;
  args.columns = size;
  args.block_size = static_cast<int>(size);
  args.recipe = recipe;
  args.codes = expected.codes;
  args.scales = &expected.byte;
  const std::size_t refused = cpu_ops(default_isa()).quantize(args);

  const QuantizeRule rule = quantize_rule(recipe);
  const Scan seen_by_all = scan(seen.data(), static_cast<int>(size));
  ASSERT_EQ(refused != kNone, seen_by_all.bad != 0 && rule.nonfinite == NonFinite::error);
  if (refused != kNone) return;
  const int whole = static_cast<int>(size) / 8;  // a lane of f32 has 4 elements, of the others 8
  const int lanes = dtype == Dtype::f32 ? 2 * whole : whole;
  const Block here = quantize_in_lanes<false>(seen, lanes, rule);
  EXPECT_TRUE(std::memcmp(&here, &expected, 1 + size / 2) == 0)
      << family << " " << info(recipe.scale).name << ", byte " << int{here.byte} << " for "
      << int{expected.byte} << ", " << test::to_string(seen);
  if (!rule.plain) return;
  const Block plain = quantize_in_lanes<true>(seen, lanes, rule);
  EXPECT_TRUE(std::memcmp(&plain, &here, 1 + size / 2) == 0) << family << ", " << test::to_string(seen);
}

TEST(CudaQuantize, EveryRuleGivesTheBytesOfTheProcessor) {
  test::Random random(1);
  for (const ScaleRuleInfo& rule : kScaleRules) {
    for (const Dtype dtype : kDtypes) {
      for (int i = 0; i < 3000; ++i) {
        const test::BlockFamily& family = test::block_families()[random() % test::block_families().size()];
        Recipe recipe;
        recipe.scale = rule.rule;
        expect_as_processor(test::make_block(family, random() % 2 ? 32 : 16, random), dtype, recipe,
                            family.name);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(CudaQuantize, EveryRecipeGivesTheBytesOfTheProcessor) {
  constexpr float kBad[] = {__builtin_inff(), -__builtin_inff(), __builtin_nanf(""), -__builtin_nanf("")};
  test::Random random(2);
  for (int i = 0; i < 60000; ++i) {
    const test::BlockFamily& family = test::block_families()[random() % test::block_families().size()];
    std::vector<float> x = test::make_block(family, random() % 2 ? 32 : 16, random);
    if (random() % 4 == 0) x[random() % x.size()] = kBad[random() % 4];
    if (random() % 4 == 0) x[random() % x.size()] = random() % 2 ? -0.0f : 0.0f;
    Recipe recipe;
    recipe.scale = kScaleRules[random() % std::size(kScaleRules)].rule;
    recipe.ties = static_cast<Ties>(random() % 3);
    recipe.nonfinite = static_cast<NonFinite>(random() % 4);
    recipe.zeros = static_cast<Zeros>(random() % 4);
    recipe.through_bf16 = random() % 4 == 0;
    expect_as_processor(x, kDtypes[random() % 3], recipe, family.name);
    if (HasFailure()) return;
  }
}

TEST(CudaQuantize, RoundsEveryHalfAndItsNeighboursAsTheTable) {
  const auto check = [](float v) {
    ASSERT_EQ(code_even(v), e2m1_encode_magnitude(v, Ties::even)) << v;
    ASSERT_EQ(round_even(v), kE2m1Magnitudes[code_even(v)]) << v;
    ASSERT_EQ(code_by_midpoints(v, false), e2m1_encode_magnitude(v, Ties::zero)) << v;
    ASSERT_EQ(code_by_midpoints(v, true), e2m1_encode_magnitude(v, Ties::away)) << v;
  };
  for (std::uint32_t bits = 0; bits <= 0x7C00; ++bits) check(f16_to_f32(static_cast<std::uint16_t>(bits)));
  for (const float midpoint : kE2m1Midpoints) {
    for (int d = -3; d <= 3; ++d) check(bit_cast<float>(f32_bits(midpoint) + static_cast<std::uint32_t>(d)));
  }
  for (const std::uint32_t bits : {0u, 1u, 0x7FFFFFu, 0x800000u, 0x7F7FFFFFu, 0x7F800000u})
    check(bit_cast<float>(bits));
}

template <class To>
void every_byte(Dtype dtype) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto scale = static_cast<std::uint8_t>(byte);
    const std::uint32_t words[] = {0x76543210u, 0xFEDCBA98u};
    for (const std::uint32_t word : words) {
      typename To::Raw here[8], expected[8];
      decode_word<To>(word, 8, scale, here);
      std::uint8_t codes[8] = {};
      std::memcpy(codes, &word, 4);
      DequantizeArgs args;
      args.codes = codes;
      args.scales = &scale;
      args.rows = 1;
      args.columns = 8;
      args.block_size = 16;
      args.dtype = dtype;
      args.out = expected;
      cpu_ops(default_isa()).dequantize(args);
      ASSERT_EQ(std::memcmp(here, expected, sizeof here), 0) << "byte " << byte << ", codes " << word;
    }
  }
}

TEST(CudaDequantize, EveryCodeUnderEveryByteIsTheProcessorsValue) {
  every_byte<ToF32>(Dtype::f32);
  every_byte<ToBf16>(Dtype::bf16);
  every_byte<ToF16>(Dtype::f16);
}

TEST(CudaCodecPlan, EveryLaneIsTakenOnce) {
  test::Random random(3);
  for (int i = 0; i < 3000; ++i) {
    const std::size_t rows = random() % 9, columns = 1 + random() % 300;
    const int block_size = random() % 2 ? 32 : 16, bytes = random() % 2 ? 4 : 2;
    const BlockGrid grid = block_grid(rows, columns, block_size, bytes, 64 + random() % 2 * 2);
    const auto size = static_cast<std::size_t>(block_size);
    ASSERT_EQ(grid.rows * grid.blocks, rows * ((columns + size - 1) / size));
    ASSERT_EQ(grid.rows * grid.columns, rows * columns);
    ASSERT_TRUE(!grid.vectors || columns % size == 0);
    const std::size_t lanes = grid.all_lanes();
    const std::size_t threads = thread_blocks(lanes, 1) * std::size_t{kThreads};
    std::vector<int> taken(lanes);
    for (std::size_t pass = 0; pass < lanes; pass += threads * kLaneDepth) {
      for (int depth = 0; depth < kLaneDepth; ++depth) {
        for (std::size_t t = 0; t < threads; ++t) {
          const std::size_t lane = lane_of(pass, depth, t, threads);
          if (lane < lanes) ++taken[lane];
        }
      }
    }
    ASSERT_EQ(std::count(taken.begin(), taken.end(), 1), static_cast<std::ptrdiff_t>(lanes));
  }
}

TEST(CudaCodecPlan, PassesAreWholeRowsWithinTheirBound) {
  test::Random random(5);
  for (int i = 0; i < 3000; ++i) {
    const std::size_t rows = 1 + random() % 50, columns = 1 + random() % 300, bytes = random() % 2 ? 4 : 2;
    const int block_size = random() % 2 ? 32 : 16;
    const std::size_t bound = 100 + random() % 10000;
    const RowPasses passes = row_passes(rows, columns, block_size, bytes, bound);
    ASSERT_EQ(passes.rows * passes.columns, rows * columns);
    const auto size = static_cast<std::size_t>(block_size);
    ASSERT_EQ(passes.rows * passes.blocks, rows * ((columns + size - 1) / size));
    ASSERT_EQ(passes.code_bytes, passes.blocks * size / 2);
    ASSERT_TRUE(passes.rows_each == 1 || passes.rows_each * passes.columns * bytes <= bound);
  }
}

}  // namespace
}  // namespace mxfp4::kernel::cuda
