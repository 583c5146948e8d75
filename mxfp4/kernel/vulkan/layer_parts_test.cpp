// Layers of random shapes within bounds that no real device has: the same bits from parts, through little
// memory.
#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/kernel/vulkan/test_layers.h"

namespace mxfp4::kernel::vulkan {
namespace {

constexpr unsigned kSeed = 23;

/// A random layer and what goes in: experts behind a router, or with routes of the call.
struct RandomExperts {
  std::size_t experts, tokens, top_k;
  std::int64_t hidden, middle;
  bool routed;
  Dtype dtype;
  Activation activation;
  Matrices gate_up, down;
  std::vector<float> router, weights;
  std::vector<std::int32_t> ids;
  std::vector<std::byte> x;

  RandomExperts(std::mt19937& random, int i)
      : experts(2 + random() % 5),
        tokens(i % 2 == 0 ? 1 + random() % 8 : 9 + random() % 60),
        top_k(1 + random() % 2),
        hidden(1 + random() % 200),
        middle(1 + random() % 100),
        routed(i % 4 < 2),
        dtype(i % 3 == 0   ? Dtype::f32
              : i % 3 == 1 ? Dtype::f16
                           : Dtype::bf16),
        activation(i % 5 < 2   ? Activation::int8
                   : i % 5 < 4 ? Activation::exact
                               : Activation::mxfp8),
        gate_up(static_cast<std::int64_t>(experts), 2 * middle, hidden, static_cast<unsigned>(random())),
        down(static_cast<std::int64_t>(experts), hidden, middle, static_cast<unsigned>(random())),
        router(inputs(experts * static_cast<std::size_t>(hidden))),
        x(4 * tokens * static_cast<std::size_t>(hidden)) {
    const std::vector<float> values = inputs(tokens * static_cast<std::size_t>(hidden));
    write_f32(values.data(), values.size(), dtype, x.data());
    for (std::size_t slot = 0; slot < tokens * top_k; ++slot) {
      ids.push_back(static_cast<std::int32_t>(random() % (experts + 1)) - 1);
      weights.push_back(static_cast<float>(random() % 100) / 100);
    }
  }

  std::vector<float> forward(VulkanDevice& device) const {
    const auto layer = device.experts({gate_up.args(), {}, down.args(), {{1.702f, 1, 7}}});
    const RouterOptions options{.top_k = static_cast<int>(top_k)};
    if (routed) {
      EXPECT_TRUE(layer->route_by({router, {}, options}));
    }
    std::vector<float> y(tokens * static_cast<std::size_t>(hidden), -7);
    const DenseView view = dense_view(x.data(), dtype, {static_cast<std::int64_t>(tokens), hidden});
    layer->forward({.x = view,
                    .activation = activation,
                    .choice = {routed ? nullptr : ids.data(), routed ? nullptr : weights.data(), top_k},
                    .y = y.data()});
    return y;
  }
};

class VulkanParts : public VulkanTest {};

TEST_F(VulkanParts, RandomLayersHaveTheSameBitsInParts) {
  std::mt19937 random(kSeed);
  std::vector<RandomExperts> layers;
  std::vector<std::vector<float>> whole;
  for (int i = 0; i < 20; ++i) {
    layers.emplace_back(random, i);
    whole.push_back(layers.back().forward(device()));
    EXPECT_TRUE(std::any_of(whole.back().begin(), whole.back().end(), [](float y) { return y != 0; })) << i;
  }
  for (const Bounds& bounds :
       {Bounds{.storage_range = 5000, .staging = 300}, Bounds{.storage_range = 9001, .staging = 5000}}) {
    open(bounds);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const RandomExperts& layer = layers[i];
      EXPECT_TRUE(same_bits(layer.forward(device()), whole[i]))
          << fmt::format("seed {}, layer {}: {} experts, {} x {}, {} tokens, range {}", kSeed, i,
                         layer.experts, layer.hidden, layer.middle, layer.tokens, bounds.storage_range);
    }
  }
}

/// Watches what is copied while a weight goes up.
struct Copies {
  std::map<VkBuffer, VkDeviceSize> sizes;
  VkDeviceSize from = 0, copied = 0;  ///< the largest buffer that was copied from; bytes
  std::size_t given = 0,
              waiting = 0;  ///< bytes of the source: given back; read, but not yet given back, at most
};
Copies copies;

TEST_F(VulkanParts, AWeightGoesUpThroughABoundedBufferAndItsSourceIsGivenBackOnTheWay) {
  constexpr std::size_t kStaging = 4096;
  static PFN_vkCreateBuffer create;
  static PFN_vkCmdCopyBuffer copy;
  const auto wrap = [](Api& api) {
    create = api.CreateBuffer;
    copy = api.CmdCopyBuffer;
    api.CreateBuffer = [](VkDevice device, const VkBufferCreateInfo* info, const VkAllocationCallbacks* none,
                          VkBuffer* buffer) {
      const VkResult result = create(device, info, none, buffer);
      if (result == VK_SUCCESS) copies.sizes[*buffer] = info->size;
      return result;
    };
    api.CmdCopyBuffer = [](VkCommandBuffer commands, VkBuffer from, VkBuffer to, std::uint32_t count,
                           const VkBufferCopy* regions) {
      copies.from = std::max(copies.from, copies.sizes.at(from));
      copies.copied += regions[0].size;
      if (copies.copied > copies.given) {
        copies.waiting = std::max<std::size_t>(copies.waiting, copies.copied - copies.given);
      }
      copy(commands, from, to, count, regions);
    };
  };
  const Matrices weight(3, 70, 256, 5);  // rows of whole units: nothing is added to what is copied
  DeviceMatrices args = weight.args();
  args.bias = {};
  args.done_with = [](std::span<const std::uint8_t> piece) { copies.given += piece.size(); };
  for (const std::uint64_t range : {std::uint64_t{1} << 27, std::uint64_t{20000}}) {
    copies = {};
    open({.storage_range = range, .staging = kStaging, .wrap = wrap});
    copies.sizes.clear();
    device().gather(args);
    EXPECT_EQ(copies.copied, weight.codes.size() + weight.scales.size()) << range;
    EXPECT_EQ(copies.given, copies.copied) << range;
    EXPECT_LE(copies.from, kStaging) << range;
    EXPECT_EQ(copies.waiting, 0u) << range;  // nothing that has been read waits for the rest
  }
}

}  // namespace
}  // namespace mxfp4::kernel::vulkan
