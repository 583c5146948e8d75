// What is decided without a device.
#include "mxfp4/kernel/vulkan/plan.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/kernel/vulkan/choice.h"
#include "mxfp4/kernel/vulkan/free_list.h"

namespace mxfp4::kernel::vulkan {
namespace {

Traits good(DeviceKind kind) {
  return {"a GPU", kind, 1, 1, true, 128, 16384, 8, 1 << 27, {65535, 65535}};
}

TEST(VulkanChoice, SaysWhyADeviceIsNotUsed) {
  EXPECT_EQ(refusal(good(DeviceKind::discrete)), "");
  Traits traits = good(DeviceKind::discrete);
  traits.version_minor = 0;
  EXPECT_EQ(refusal(traits), "Vulkan 1.0, not 1.1");
  traits = good(DeviceKind::discrete);
  traits.computes = false;
  EXPECT_EQ(refusal(traits), "no queue that computes");
  traits = good(DeviceKind::discrete);
  traits.invocations = 64;
  EXPECT_EQ(refusal(traits), "workgroups of 64 invocations, not 128");
  traits = good(DeviceKind::discrete);
  traits.shared_bytes = 8192;
  EXPECT_EQ(refusal(traits), "8192 bytes of shared memory, not 16384");
  traits = good(DeviceKind::discrete);
  traits.storage_buffers = 4;
  EXPECT_EQ(refusal(traits), "4 storage buffers at a time, not 7");
}

TEST(VulkanChoice, PrefersADeviceOfItsOwnToSoftware) {
  EXPECT_EQ(best_of({}), -1);
  const Traits software = good(DeviceKind::software), discrete = good(DeviceKind::discrete);
  EXPECT_EQ(best_of({software, good(DeviceKind::integrated), discrete, discrete}), 2);
  EXPECT_EQ(best_of({software}), 0);
  Traits old = discrete;
  old.version_minor = 0;
  EXPECT_EQ(best_of({old, software}), 1);
  EXPECT_EQ(best_of({old}), -1);
}

TEST(VulkanPlan, PassesAreWholeWorkgroupsWithinTheBound) {
  EXPECT_EQ(blocks_per_pass(32, 4, 16 << 20), 131072u);
  EXPECT_EQ(blocks_per_pass(16, 2, 16 << 20), 524288u);
  EXPECT_EQ(blocks_per_pass(32, 4, 128 * 65 + 127), 64u);
  EXPECT_EQ(blocks_per_pass(32, 4, 1), 64u);  // at the least
}

TEST(VulkanPlan, WeightsAreCutIntoWholeExpertsWhileTheyFit) {
  using Ranges = std::vector<WeightRange>;
  EXPECT_EQ(split_weight(5, 10, 16, 1 << 20, 1000), (Ranges{{0, 5, 0, 10}}));
  EXPECT_EQ(split_weight(5, 10, 16, 320, 1000), (Ranges{{0, 2, 0, 10}, {2, 2, 0, 10}, {4, 1, 0, 10}}));
  EXPECT_EQ(split_weight(2, 10, 16, 159, 1000),
            (Ranges{{0, 1, 0, 9}, {0, 1, 9, 1}, {1, 1, 0, 9}, {1, 1, 9, 1}}));
  EXPECT_EQ(split_weight(1, 10, 16, 1 << 20, 6), (Ranges{{0, 1, 0, 6}, {0, 1, 6, 4}}));
  EXPECT_EQ(split_weight(1, 10, 16, 15, 1000), Ranges{});
  EXPECT_EQ(split_weight(0, 10, 16, 1 << 20, 1000), Ranges{});
  // gate and up of gpt-oss-20b: 92 blocks a row, 32 experts of 5760 rows, through 128 MiB.
  EXPECT_EQ(split_weight(32, 5760, 92 * 16, 1 << 27, 65535 * 4).size(), 3u);
}

TEST(VulkanPlan, PassesHaveAsManyTokensAsTheLimitsAllow) {
  const LayerShape linear{LayerKind::linear, 1, 2880, 4096, 0, 4096},
      experts{LayerKind::experts, 32, 2944, 5760, 2944, 2880};
  EXPECT_EQ(pass_tokens(linear, 1, 1 << 27, 65535), 1024u);
  EXPECT_EQ(pass_tokens(linear, 1, 1 << 23, 65535), 512u);
  EXPECT_EQ(pass_tokens(experts, 4, 1 << 27, 65535), 1024u);  // 4096 routes of 5760 floats: 90 MiB
  EXPECT_EQ(pass_tokens(experts, 8, 1 << 27, 65535), 512u);
  EXPECT_EQ(pass_tokens(experts, 4, 1 << 27, 500), 64u);
  EXPECT_EQ(pass_tokens(experts, 4, 1 << 16, 65535), 0u);
}

TEST(VulkanPlan, TilesSufficeForEveryWayToChoose) {
  std::mt19937 random(13);
  for (int i = 0; i < 2000; ++i) {
    const std::size_t experts = 1 + random() % 9, slots = random() % 80,
                      tile = std::size_t{1} << random() % 6;
    std::vector<std::size_t> counts(experts);
    for (std::size_t slot = 0; slot < slots; ++slot) ++counts[random() % experts];
    std::size_t tiles = 0;
    for (const std::size_t count : counts) tiles += (count + tile - 1) / tile;
    ASSERT_LE(tiles, most_tiles(slots, experts, tile)) << slots << " to " << experts << ", tiles of " << tile;
  }
}

TEST(VulkanFreeList, GivesApartWhatIsAsked) {
  FreeList list(1000);
  EXPECT_EQ(list.take(100, 16), 0u);
  EXPECT_EQ(list.take(100, 64), 128u);
  EXPECT_EQ(list.take(28, 4), 100u);  // the gap before that
  EXPECT_EQ(list.take(773, 1), std::nullopt);
  EXPECT_EQ(list.take(772, 1), 228u);
  EXPECT_EQ(list.take(1, 1), std::nullopt);
  list.give(100, 28);
  list.give(228, 772);
  list.give(0, 100);
  EXPECT_FALSE(list.empty());
  list.give(128, 100);
  EXPECT_TRUE(list.empty());
}

TEST(VulkanFreeList, NeverGivesAByteTwice) {
  std::mt19937 random(7);
  FreeList list(1 << 12);
  std::vector<int> owner(1 << 12, 0);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> taken;
  for (int i = 0; i < 20000; ++i) {
    if (random() % 2 == 0 || taken.empty()) {
      const std::uint64_t bytes = 1 + random() % 300, alignment = std::uint64_t{1} << random() % 8;
      const auto offset = list.take(bytes, alignment);
      if (!offset) continue;
      ASSERT_EQ(*offset % alignment, 0u);
      for (std::uint64_t b = *offset; b < *offset + bytes; ++b) ASSERT_EQ(owner.at(b)++, 0);
      taken.emplace_back(*offset, bytes);
    } else {
      std::swap(taken[random() % taken.size()], taken.back());
      for (std::uint64_t b = 0; b < taken.back().second; ++b) --owner[taken.back().first + b];
      list.give(taken.back().first, taken.back().second);
      taken.pop_back();
    }
  }
  for (const auto& [offset, bytes] : taken) list.give(offset, bytes);
  EXPECT_TRUE(list.empty());
}

}  // namespace
}  // namespace mxfp4::kernel::vulkan
