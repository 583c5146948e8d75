#include "mxfp4/comm/shard.h"

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"

namespace mxfp4 {
namespace {

using Ids = std::vector<std::int32_t>;
using Ranks = std::vector<int>;

std::string refused(const std::function<void()>& action) {
  const Error error = error_of(action);
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  return error.what();
}

TEST(ExpertMap, CutsEvenRangesOfWhichTheFirstAreLonger) {
  const ExpertMap map = ExpertMap::even(8, 3);
  EXPECT_EQ(map.held(0), (Ids{0, 1, 2}));
  EXPECT_EQ(map.held(1), (Ids{3, 4, 5}));
  EXPECT_EQ(map.held(2), (Ids{6, 7}));
  EXPECT_EQ(map.local(1, 4), 1);
  EXPECT_EQ(map.local(1, 6), -1);
}

TEST(ExpertMap, GivesEveryExpertOneOwnerWhateverTheNumbers) {
  for (std::int64_t experts = 1; experts <= 40; ++experts) {
    for (int ranks = 1; ranks <= experts; ++ranks) {
      const ExpertMap map = ExpertMap::even(experts, ranks);
      for (std::int64_t e = 0; e < experts; ++e) ASSERT_EQ(map.owners(e).size(), 1u);
      const auto size = [&](int rank) { return map.held(rank).size(); };
      ASSERT_LE(size(0) - size(ranks - 1), 1u) << experts << " experts, " << ranks << " ranks";
    }
  }
}

TEST(ExpertMap, TakesUnevenCountsAndExplicitMaps) {
  const std::vector<std::int64_t> counts = {1, 0, 3};
  EXPECT_EQ(ExpertMap::ranges(counts).held(2), (Ids{1, 2, 3}));
  EXPECT_EQ(ExpertMap::ranges(counts).held(1), Ids{});
  const ExpertMap map(4, {{3, 0}, {2, 1}});
  EXPECT_EQ(map.held(0), (Ids{0, 3}));
  EXPECT_EQ(map.choose(Ids{0, 1, 2, 3, -1}), (Ranks{0, 1, 1, 0, -1}));
}

TEST(ExpertMap, GivesRoutesToTheCopyWithTheLeastToDo) {
  // Expert 0 is everywhere; rank 1 has the routes of expert 1 already.
  const ExpertMap map(2, {{0}, {0, 1}, {0}});
  EXPECT_EQ(map.owners(0), (Ranks{0, 1, 2}));
  EXPECT_EQ(map.choose(Ids{0, 0, 0, 0, 1, 1}), (Ranks{0, 2, 0, 2, 1, 1}));
}

TEST(ExpertMap, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refused([] { ExpertMap::even(3, 4); }), "expert parallel: 3 experts are too few for 4 ranks");
  EXPECT_EQ(refused([] { ExpertMap(3, {{0}, {1}}); }), "expert map: none of 2 ranks has expert 2 of 3");
  EXPECT_EQ(refused([] { ExpertMap(3, {{0, 1, 3}}); }), "expert map: rank 0 has expert 3, but there are 3");
  EXPECT_EQ(refused([] { ExpertMap(2, {{0, 1, 1}}); }), "expert map: rank 0 has expert 1 twice");
  EXPECT_EQ(refused([] {
              ExpertMap::even(2, 1).choose(Ids{0, 2});
            }),
            "expert map: route 1 goes to expert 2, but there are 2");
}

TEST(TensorShards, AreEvenInMultiplesOfABlock) {
  // gpt-oss: 90 blocks.
  EXPECT_EQ(
      cut_channels(2880, 4),
      (std::vector<TensorShard>{{0, 736, 736}, {736, 1472, 736}, {1472, 2176, 704}, {2176, 2880, 704}}));
}

TEST(TensorShards, AreCompleteWhateverTheNumbers) {
  for (std::int64_t channels = 1; channels <= 300; ++channels) {
    for (const std::int64_t multiple : {32, 64, 128}) {
      for (int shards = 1; shards <= (channels + multiple - 1) / multiple; ++shards) {
        const std::vector<TensorShard> all = cut_channels(channels, shards, multiple);
        std::int64_t next = 0;
        for (const TensorShard& shard : all) {
          ASSERT_EQ(shard.begin, next);
          ASSERT_GT(shard.size(), 0);
          ASSERT_EQ(shard.begin % multiple, 0);
          ASSERT_EQ(shard.padded % multiple, 0);
          ASSERT_LT(shard.padded - shard.size(), multiple);
          next = shard.end;
        }
        ASSERT_EQ(next, channels);
      }
    }
  }
}

TEST(TensorShards, PadTheLastWhereTheChannelsAreNoMultiple) {
  EXPECT_EQ(cut_channels(96, 2, 64), (std::vector<TensorShard>{{0, 64, 64}, {64, 96, 64}}));
}

TEST(TensorShards, RefuseWhatDoesNotFit) {
  EXPECT_EQ(refused([] { cut_channels(96, 4); }),
            "tensor parallel: 96 channels are 3 times 32, too few for 4 ranks");
  EXPECT_EQ(refused([] { cut_channels(96, 2, 48); }),
            "tensor parallel: shards in multiples of 48 channels, which is none of 32");
  EXPECT_EQ(refused([] { share_experts(8, 6, 4); }), "6 ranks are no groups of 4 that share tensors");
}

TEST(ShardPlan, PutsTheRanksOfAGroupBesideEachOther) {
  const ShardPlan plan = share_experts(6, 6, 2);
  EXPECT_EQ(plan.ranks(), 6);
  EXPECT_EQ(plan.group(3), 1);
  EXPECT_EQ(plan.member(3), 1);
  EXPECT_EQ(plan.experts.held(plan.group(5)), (Ids{4, 5}));
}

}  // namespace
}  // namespace mxfp4
