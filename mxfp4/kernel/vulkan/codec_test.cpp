// Quantising and dequantising on a device against the kernels of the processor: the same bytes.
#include <cstring>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/kernel/test_conformance.h"
#include "mxfp4/kernel/test_quantized.h"
#include "mxfp4/kernel/vulkan/test_vulkan.h"

namespace mxfp4::kernel::vulkan {
namespace {

using test::Random;

struct Case {
  ScaleRule rule;
  Ties ties;
  NonFinite nonfinite;
  Zeros zeros;
  bool through_bf16;
};

/// Every rule with every rule for ties; policies in turn.
std::vector<Case> cases() {
  constexpr NonFinite kPolicies[] = {NonFinite::error, NonFinite::nan_block, NonFinite::saturate};
  constexpr Zeros kZeros[] = {Zeros::kept, Zeros::never, Zeros::exact, Zeros::all};
  std::vector<Case> cases;
  for (const ScaleRuleInfo& rule : kScaleRules) {
    for (const Ties ties : {Ties::even, Ties::zero, Ties::away}) {
      const std::size_t i = cases.size();
      cases.push_back({rule.rule, ties, kPolicies[i % 3], kZeros[i % 4], i % 5 == 0});
    }
  }
  cases.push_back({ScaleRule::optimal, Ties::even, NonFinite::saturate, Zeros::kept, false});
  cases.push_back({ScaleRule::optimal, Ties::even, NonFinite::nan_block, Zeros::kept, false});
  return cases;
}

class VulkanCodec : public VulkanTest {
 protected:
  /// Of one call, on the device and on the processor.
  void expect_same(const QuantizeArgs& args) {
    ASSERT_TRUE(ComputeDevice::quantizes(args));
    const Quantized expected = quantized(cpu_ops(Isa::scalar), args, false);
    Quantized result = expected;
    std::fill(result.codes.begin(), result.codes.end(), std::uint8_t{0xAB});
    std::fill(result.scales.begin(), result.scales.end(), std::uint8_t{0xAB});
    QuantizeArgs on_device = args;
    on_device.codes = result.codes.data();
    on_device.scales = result.scales.data();
    ASSERT_EQ(device().quantize(on_device), expected.refused);
    if (expected.refused != kNone) return;
    ASSERT_EQ(result.scales, expected.scales);
    for (std::size_t i = 0; i < result.codes.size(); ++i) {
      ASSERT_EQ(result.codes[i], expected.codes[i]) << "code byte " << i;
    }
  }
};

TEST_F(VulkanCodec, QuantizesToTheSameBytes) {
  constexpr std::size_t kRows = 40;
  Random random(61);
  int i = 0;
  for (const Dtype dtype : kDtypes) {
    for (const Case& a : cases()) {
      const int block_size = ++i % 3 == 0 ? 16 : 32;
      const std::size_t columns = kColumns[static_cast<std::size_t>(i) % std::size(kColumns)];
      SCOPED_TRACE(fmt::format("seed 61, {}, {}, case {}, block {}, {} columns", to_string(dtype),
                               info(a.rule).name, i, block_size, columns));
      Unaligned x = make_rows(dtype, kRows, columns, static_cast<std::size_t>(block_size),
                              a.nonfinite == NonFinite::error, random);
      const Recipe recipe = {a.rule, a.ties, a.nonfinite, a.zeros, Origin::none, a.through_bf16};
      expect_same({x.data(), dtype, kRows, columns, block_size, recipe});
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(VulkanCodec, FindsTheBestScaleWhereTwoAreNearlyAsGood) {
  // As the processor's own test: ties between s0 and a neighbour, with each element an ulp off or not.
  constexpr std::size_t kBlocks = 4000;
  Random random(67);
  Unaligned x(kBlocks * 32, Dtype::f32);
  for (std::size_t b = 0; b < kBlocks; ++b) {
    const int power = test::integer(random, -140, 120);
    const float maximum = b % 2 == 0 ? 4.46875f : 7.0f, other = b % 2 == 0 ? 0.25f : 3.5f;
    for (std::size_t k = 0; k < 32; ++k) {
      const std::uint32_t bits = f32_bits(k == 0 ? maximum : other);
      const float near = bit_cast<float>(bits + static_cast<std::uint32_t>(test::integer(random, -1, 1)));
      x.set(b * 32 + k, std::ldexp(near, power));
    }
  }
  expect_same({x.data(), Dtype::f32, kBlocks, 32, 32, {}});
}

TEST_F(VulkanCodec, QuantizesElementsOfEveryMagnitude) {
  // Subnormals as well, alone in their block and beside others.
  constexpr std::size_t kBlocks = 3000;
  Random random(71);
  for (const Dtype dtype : kDtypes) {
    std::vector<std::byte> x(kBlocks * 32 * bytes_of(dtype));
    for (std::size_t b = 0; b < kBlocks; ++b) {
      const std::uint32_t exponents = b % 3 == 0 ? 0x00FFFFFFu : b % 3 == 1 ? 0x03FFFFFFu : 0x7FFFFFFFu;
      for (std::size_t k = 0; k < 32; ++k) {
        auto bits = static_cast<std::uint32_t>(random()) & (exponents | 0x80000000u);
        if (dtype != Dtype::f32) bits >>= 16;
        std::memcpy(&x[(b * 32 + k) * bytes_of(dtype)], &bits, bytes_of(dtype));
      }
    }
    for (const ScaleRuleInfo& rule : kScaleRules) {
      SCOPED_TRACE(fmt::format("seed 71, {}, {}", to_string(dtype), rule.name));
      expect_same({x.data(), dtype, kBlocks, 32, 32, {rule.rule, Ties::even, NonFinite::saturate}});
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(VulkanCodec, FindsTheFirstElementThatIsNotFiniteInAnyPass) {
  open({.staging = 4096});
  Random random(73);
  for (const std::size_t columns : {32u, 50u}) {
    constexpr std::size_t kRows = 100;
    Unaligned x = make_rows(Dtype::f32, kRows, columns, 32, true, random);
    expect_same({x.data(), Dtype::f32, kRows, columns, 32, {}});
    x.set(99 * columns, NAN);
    x.set(70 * columns + columns - 1, INFINITY);
    x.set(71 * columns, NAN);
    QuantizeArgs args{x.data(), Dtype::f32, kRows, columns, 32, {}};
    std::vector<std::uint8_t> codes(kRows * 32), scales(kRows * 2);
    args.codes = codes.data();
    args.scales = scales.data();
    EXPECT_EQ(device().quantize(args), 70 * columns + columns - 1);
  }
}

TEST_F(VulkanCodec, DequantizesEveryCodeUnderEveryScaleToTheSameBits) {
  Random random(79);
  for (const auto& bounds : {Bounds{}, Bounds{.staging = 2048}}) {
    open(bounds);
    for (const Dtype dtype : kDtypes) {
      for (const auto& [block_size, order] :
           {std::pair{32, NibbleOrder::interleaved}, std::pair{32, NibbleOrder::split16},
            std::pair{16, NibbleOrder::interleaved}}) {
        for (const std::size_t columns : {std::size_t{64}, std::size_t{17}}) {
          const auto size = static_cast<std::size_t>(block_size);
          const std::size_t blocks = (columns + size - 1) / size, rows = 256 / blocks;
          std::vector<std::uint8_t> codes(rows * blocks * size / 2), scales(rows * blocks);
          for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
          for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<std::uint8_t>(i);
          Unaligned out(rows * columns, dtype), expected(rows * columns, dtype);
          DequantizeArgs args{codes.data(), scales.data(), rows,  columns,
                              block_size,   order,         dtype, out.data()};
          device().dequantize(args);
          args.out = expected.data();
          cpu_ops(Isa::scalar).dequantize(args);
          ASSERT_EQ(out.bytes(), expected.bytes())
              << "seed 79, " << to_string(dtype) << ", block " << block_size << ", " << columns << " columns";
        }
      }
    }
  }
}

TEST_F(VulkanCodec, FailsWithAnErrorAndLeavesNothingBehind) {
  const std::vector<float> x(32 * 4096, 1.0f);
  std::vector<std::uint8_t> codes(16 * 4096), scales(4096);
  QuantizeArgs args{x.data(), Dtype::f32, 4096, 32, 32, {}};
  args.codes = codes.data();
  args.scales = scales.data();

  // What a device would answer, in place of its functions.
  static int calls_left;
  static PFN_vkAllocateMemory allocate;
  const auto wrap = [](Api& api) {
    allocate = api.AllocateMemory;
    api.AllocateMemory = [](VkDevice device, const VkMemoryAllocateInfo* info,
                            const VkAllocationCallbacks* none, VkDeviceMemory* memory) {
      return calls_left-- > 0 ? allocate(device, info, none, memory) : VK_ERROR_OUT_OF_DEVICE_MEMORY;
    };
  };
  for (int calls = 0; calls < 2; ++calls) {
    calls_left = calls;
    Gpu& gpu = open({.wrap = wrap}).gpu();
    const auto error = error_of([&] { device().quantize(args); });
    ASSERT_TRUE(error.has_value()) << calls;
    EXPECT_EQ(error->first, ErrorCode::out_of_memory);
    EXPECT_EQ(gpu.memory().buffers(), 0u);
    calls_left = 100;
    EXPECT_EQ(device().quantize(args), kNone);  // and goes on
    EXPECT_EQ(gpu.memory().buffers(), 0u);
    EXPECT_EQ(codes[0], 0x66);
  }

  open({.memory = 1 << 16});
  EXPECT_EQ(error_of([&] { device().quantize(args); })->first, ErrorCode::out_of_memory);

  open({.wrap = [](Api& api) {
    api.QueueSubmit = [](VkQueue, std::uint32_t, const VkSubmitInfo*, VkFence) {
      return VK_ERROR_DEVICE_LOST;
    };
  }});
  const auto lost = error_of([&] { device().quantize(args); });
  EXPECT_EQ(lost->first, ErrorCode::device);
  EXPECT_NE(lost->second.find("the device is lost"), std::string::npos) << lost->second;
  const auto again = error_of([&] { device().quantize(args); });
  EXPECT_EQ(again->first, ErrorCode::device);
  EXPECT_NE(again->second.find("has failed before"), std::string::npos) << again->second;
  EXPECT_EQ(device().gpu().memory().buffers(), 0u);
}

}  // namespace
}  // namespace mxfp4::kernel::vulkan
