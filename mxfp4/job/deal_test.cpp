#include <gtest/gtest.h>

#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/comm/test_thread_ranks_internal.h"
#include "mxfp4/job/deal_internal.h"

namespace mxfp4::job {
namespace {

void expect_nobody_lost(const Error& error) {
  ADD_FAILURE() << error.what();
}

TEST(DealShards, GivesTheLargestFirstToWhoHasTheLeast) {
  EXPECT_EQ(deal_shards({5, 5, 5, 5}, 2), (std::vector{0, 1, 0, 1}));
  EXPECT_EQ(deal_shards({1, 9, 4, 4}, 2), (std::vector{1, 0, 1, 1}));
  EXPECT_EQ(deal_shards({7}, 3), (std::vector{0}));
  EXPECT_EQ(deal_shards({}, 3), (std::vector<int>{}));
}

TEST(DealShards, LeavesNoRankMoreThanAShardAhead) {
  std::vector<std::uint64_t> bytes;
  for (std::uint64_t i = 0; i < 50; ++i) bytes.push_back(1 + i * 7919 % 100);
  for (int ranks = 1; ranks <= 9; ++ranks) {
    std::vector<std::uint64_t> load(static_cast<std::size_t>(ranks));
    const std::vector<int> owners = deal_shards(bytes, ranks);
    for (std::size_t i = 0; i < bytes.size(); ++i) load[static_cast<std::size_t>(owners[i])] += bytes[i];
    EXPECT_LE(*std::max_element(load.begin(), load.end()), *std::min_element(load.begin(), load.end()) + 100);
  }
}

TEST(ShardNote, ComesBackAsItWas) {
  ErrorStats stats;
  stats.signal = 1.0 / 3;
  stats.noise = 0x1p-300;
  stats.elements = 32;
  stats.scales[127] = 1;
  const auto [shard, notes] = from_note(to_note(12, {0xFFFFFFFF, {stats, ErrorStats()}}));
  EXPECT_EQ(shard, 12u);
  EXPECT_EQ(notes.crc32c, 0xFFFFFFFF);
  ASSERT_EQ(notes.parts.size(), 2u);
  EXPECT_EQ(notes.parts[0].signal, stats.signal);
  EXPECT_EQ(notes.parts[0].noise, stats.noise);
  EXPECT_EQ(notes.parts[0].scales, stats.scales);
  EXPECT_EQ(notes.parts[1].elements, 0u);
}

TEST(Ranks, MustHaveBeenAskedForTheSame) {
  on_ranks(3, [](Communicator& ranks) {
    Team team(ranks, expect_nobody_lost);
    check_same_job(team, {{"OUT", "a"}});
    const Error error = error_of([&] {
      check_same_job(team, {{"OUT", ranks.rank() == 1 ? "b" : "a"}, {"--dtype", "f16"}});
    });
    EXPECT_STREQ(error.what(), "rank 1 was asked for something else than rank 0: OUT: b, not OUT: a");
    EXPECT_TRUE(team.fail(error));
  });
}

TEST(Ranks, MustSeeOneFileSystem) {
  on_ranks(1, [](Communicator& ranks) {
    const TestDirectory directory;
    Team team(ranks, expect_nobody_lost);
    const Error error =
        error_of([&] { wait_for_file(team, directory.path() / "journal", std::chrono::milliseconds(200)); });
    EXPECT_EQ(error.what(),
              (directory.path() / "journal").native() +
                  ": rank 0 has made it, but it is not here: all ranks must see one file system");
    team.leave();
  });
}

}  // namespace
}  // namespace mxfp4::job
