// Layers under the validation layer, within bounds that no real device has: cut weights, cut batches,
// failures.
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/kernel/vulkan/test_layers.h"

namespace mxfp4::kernel::vulkan {
namespace {

constexpr std::int64_t kHidden = 100, kMiddle = 70, kExperts = 6, kTopK = 2;

class VulkanLayers : public VulkanTest {
 protected:
  std::vector<float> linear(std::size_t tokens, Activation activation = Activation::exact) {
    const std::vector<float> x = inputs(tokens * kHidden);
    std::vector<float> y(tokens * 90);
    const auto layer = device().linear(weight_.args());
    layer->forward({.x = dense_view(x.data(), Dtype::f32, {static_cast<std::int64_t>(tokens), kHidden}),
                    .activation = activation,
                    .y = y.data()});
    return y;
  }
  std::unique_ptr<DeviceLayer> make_experts() {
    return device().experts({gate_up_.args(), {}, down_.args(), {{1.702f, 1, 7}}});
  }
  std::vector<float> experts(DeviceLayer& layer, std::size_t tokens) {
    const std::vector<float> x = inputs(tokens * kHidden);
    std::mt19937 random(11);
    std::vector<std::int32_t> ids;
    std::vector<float> weights;
    for (std::size_t i = 0; i < tokens * kTopK; ++i) {
      ids.push_back(static_cast<std::int32_t>(random() % (kExperts + 1)) - 1);
      weights.push_back(static_cast<float>(random() % 100) / 100);
    }
    std::vector<float> y(x.size());
    layer.forward({.x = dense_view(x.data(), Dtype::f32, {static_cast<std::int64_t>(tokens), kHidden}),
                   .choice = {ids.data(), weights.data(), kTopK, false},
                   .y = y.data()});
    return y;
  }

  const Matrices weight_{1, 90, kHidden, 1}, gate_up_{kExperts, 2 * kMiddle, kHidden, 2},
      down_{kExperts, kHidden, kMiddle, 3};
};

TEST_F(VulkanLayers, WeightsBeyondABindingAreBoundInParts) {
  open();
  const std::vector<float> few = linear(7), many = linear(40);
  const auto whole = make_experts();
  const std::vector<float> few_experts = experts(*whole, 7), many_experts = experts(*whole, 40);
  EXPECT_EQ(device().gpu().pipelines(), 6u);  // encode, decode, prefill, route, unit, combine: none twice
  // A row has 64 bytes of codes: parts of 2 experts, parts of rows, and batches in several passes.
  for (const std::uint64_t range : {20000u, 5120u}) {
    open({.storage_range = range, .staging = 700});
    EXPECT_TRUE(same_bits(linear(7), few)) << range;
    EXPECT_TRUE(same_bits(linear(40), many)) << range;
    const auto layer = make_experts();
    EXPECT_TRUE(same_bits(experts(*layer, 7), few_experts)) << range;
    EXPECT_TRUE(same_bits(experts(*layer, 40), many_experts)) << range;
  }
  open({.storage_range = 48});
  const auto error = error_of([&] { linear(1); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->first, ErrorCode::unsupported);
  EXPECT_EQ(error->second.rfind("vulkan: a row of 100 columns has 64 bytes; ", 0), 0u) << error->second;
}

TEST_F(VulkanLayers, IntegerProductsAreTheSameWithTheirInstructionAndWithout) {
  const Gpu& gpu = open().gpu();
  if (!gpu.traits().integer_dot) GTEST_SKIP() << gpu.traits().name << " has no integer dot product";
  const std::vector<float> few = linear(7, Activation::int8), many = linear(40, Activation::int8);
  EXPECT_FALSE(same_bits(few, linear(7)));
  open({.integer_dot = false});
  EXPECT_FALSE(device().gpu().traits().integer_dot);
  EXPECT_TRUE(same_bits(linear(7, Activation::int8), few));
  EXPECT_TRUE(same_bits(linear(40, Activation::int8), many));
}

TEST_F(VulkanLayers, ActivationsOfSixteenBitsAreUploadedAsTheyAre) {
  static VkDeviceSize uploaded;
  static PFN_vkCmdCopyBuffer copy;
  open({.wrap = [](Api& api) {
    copy = api.CmdCopyBuffer;
    api.CmdCopyBuffer = [](VkCommandBuffer commands, VkBuffer from, VkBuffer to, std::uint32_t count,
                           const VkBufferCopy* regions) {
      if (uploaded == 0) uploaded = regions[0].size;  // the first of a pass
      copy(commands, from, to, count, regions);
    };
  }});
  const auto layer = device().linear(weight_.args());
  const std::vector<float> x = inputs(64 * kHidden);
  std::vector<float> y(64 * 90);
  for (const Dtype dtype : {Dtype::f32, Dtype::f16}) {
    uploaded = 0;
    layer->forward({.x = dense_view(x.data(), dtype, {64, kHidden}), .y = y.data()});
    const VkDeviceSize elements = 64 * kHidden * static_cast<VkDeviceSize>(bits_of(dtype)) / 8;
    EXPECT_GE(uploaded, elements);
    EXPECT_LE(uploaded, elements + 1024);
  }
}

TEST_F(VulkanLayers, ARoutedForwardIsOneSubmission) {
  static int submitted;
  static PFN_vkQueueSubmit submit;
  open({.wrap = [](Api& api) {
    submit = api.QueueSubmit;
    api.QueueSubmit = [](VkQueue queue, std::uint32_t count, const VkSubmitInfo* info, VkFence fence) {
      ++submitted;
      return submit(queue, count, info, fence);
    };
  }});
  const auto layer = make_experts();
  const std::vector<float> weight = inputs(kExperts * kHidden), x = inputs(20 * kHidden);
  RouterOptions options{.top_k = kTopK, .score = RouterScore::sigmoid, .groups = 2};
  options.correction.assign(kExperts, 0.5f);
  ASSERT_TRUE(layer->route_by({weight, {}, options}));
  const std::vector<std::int32_t> ids(20 * kTopK, 3);
  std::vector<float> y(x.size());
  const DenseView view = dense_view(x.data(), Dtype::f32, {20, kHidden});
  for (const Activation activation : {Activation::exact, Activation::int8, Activation::mxfp8}) {
    for (const std::int32_t* const given : {static_cast<const std::int32_t*>(nullptr), ids.data()}) {
      submitted = 0;
      layer->forward(
          {.x = view, .activation = activation, .choice = {given, nullptr, kTopK, false}, .y = y.data()});
      EXPECT_EQ(submitted, 1);
      EXPECT_NE(y[0], 0.0f);
    }
  }
  const std::vector<std::int32_t> nobody(20 * kTopK, -1);
  std::vector<float> rows(20 * kTopK * 2 * kMiddle, -7.0f);
  const auto gather = device().gather(gate_up_.args());
  submitted = 0;
  gather->forward({.x = view, .choice = {nobody.data(), nullptr, kTopK, false}, .y = rows.data()});
  EXPECT_EQ(submitted, 1);
  EXPECT_EQ(rows, std::vector<float>(rows.size(), 0.0f));
}

TEST_F(VulkanLayers, ACommandBufferIsReplayedForEveryBatchThatItFits) {
  static int recorded, submitted;
  static PFN_vkBeginCommandBuffer begin;
  static PFN_vkQueueSubmit submit;
  recorded = submitted = 0;
  open({.wrap = [](Api& api) {
    begin = api.BeginCommandBuffer;
    submit = api.QueueSubmit;
    api.BeginCommandBuffer = [](VkCommandBuffer commands, const VkCommandBufferBeginInfo* info) {
      ++recorded;
      return begin(commands, info);
    };
    api.QueueSubmit = [](VkQueue queue, std::uint32_t count, const VkSubmitInfo* info, VkFence fence) {
      ++submitted;
      return submit(queue, count, info, fence);
    };
  }});
  const auto layer = make_experts();
  experts(*layer, 5);
  const int before = recorded, submissions = submitted;
  const std::vector<float> six = experts(*layer, 6);
  experts(*layer, 8);
  EXPECT_TRUE(same_bits(experts(*layer, 6), six));
  EXPECT_EQ(recorded, before);
  EXPECT_EQ(submitted, submissions + 3);  // one for each call
  experts(*layer, 4);
  EXPECT_EQ(recorded, before + 1);
}

TEST_F(VulkanLayers, NothingIsLeftBehind) {
  Gpu& gpu = open().gpu();
  {
    const auto layer = make_experts();
    for (const std::size_t tokens : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 128u, 256u, 512u})
      experts(*layer, tokens);
    EXPECT_GT(gpu.memory().buffers(), 0u);
  }
  EXPECT_EQ(gpu.memory().buffers(), 0u);
  EXPECT_LE(gpu.memory().blocks(), 3u);  // one of each place stays

  static int calls_left;
  static PFN_vkCreateBuffer create;
  Gpu& failing =
      open({.wrap = [](Api& api) {
        create = api.CreateBuffer;
        api.CreateBuffer = [](VkDevice device, const VkBufferCreateInfo* info,
                              const VkAllocationCallbacks* none, VkBuffer* buffer) {
          return calls_left-- > 0 ? create(device, info, none, buffer) : VK_ERROR_OUT_OF_DEVICE_MEMORY;
        };
      }}).gpu();
  bool worked = false;
  for (int calls = 0; !worked && calls < 100; ++calls) {
    calls_left = calls;
    const auto error = error_of([&] { experts(*make_experts(), 3); });
    worked = !error.has_value();
    if (!worked) {
      EXPECT_EQ(error->first, ErrorCode::out_of_memory) << calls;
    }
    ASSERT_EQ(failing.memory().buffers(), 0u) << calls;
  }
  EXPECT_TRUE(worked);
}

TEST_F(VulkanLayers, SourcesAreGivenBackOnceTheyAreRead) {
  std::size_t given = 0;
  DeviceMatrices matrices = gate_up_.args();
  matrices.done_with = [&](std::span<const std::uint8_t> piece) { given += piece.size(); };
  open({.storage_range = 5120});
  device().linear(matrices);
  EXPECT_EQ(given, gate_up_.codes.size() + gate_up_.scales.size());
}

}  // namespace
}  // namespace mxfp4::kernel::vulkan
