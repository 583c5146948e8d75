#include "mxfp4/job/team.h"

#include <map>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/comm/test_thread_ranks_internal.h"

namespace mxfp4::job {
namespace {

void expect_nobody_lost(const Error& error) {
  ADD_FAILURE() << error.what();
}

void in_team(int count, const std::function<void(Team&)>& body) {
  on_ranks(count, [&](Communicator& ranks) {
    Team team(ranks, expect_nobody_lost);
    body(team);
  });
}

TEST(Team, GathersTexts) {
  in_team(3, [](Team& team) {
    for (int round = 0; round < 20; ++round) {
      const auto text = [&](int rank) {
        return std::string(static_cast<std::size_t>(rank + round), '\xFF');  // no UTF-8, as paths may be
      };
      EXPECT_EQ(team.gather(text(team.rank())), (std::vector{text(0), text(1), text(2)}));
    }
    team.leave();
  });
}

TEST(Team, HasEveryNoteAtRankZeroBeforeItGathers) {
  std::map<int, std::vector<std::string>> heard;
  in_team(3, [&](Team& team) {
    if (team.rank() == 0)
      team.listen([&](int rank, const std::string& note) { heard[rank].push_back(note); });
    for (const char* note : {"a", "b", "c"}) team.send(note);
    team.gather("");
    if (team.rank() == 0) {
      EXPECT_EQ(heard.size(), 3u);
      for (const auto& [rank, notes] : heard) EXPECT_EQ(notes, (std::vector<std::string>{"a", "b", "c"}));
    }
    team.leave();
  });
}

TEST(Team, AddsUpWhatIsDone) {
  in_team(3, [&](Team& team) {
    team.advance(static_cast<std::uint64_t>(1 + team.rank()));
    team.gather("");
    team.gather("");
    EXPECT_EQ(team.done(), 6u);
    team.leave();
  });
}

TEST(Team, TellsEverybodyWhoHasFailed) {
  in_team(3, [](Team& team) {
    Error error(ErrorCode::io, "disk full");
    if (team.rank() != 1) {
      error = error_of([&] { team.gather(""); });
      EXPECT_STREQ(error.what(), "rank 1: disk full");
      EXPECT_EQ(error.code(), ErrorCode::io);
      EXPECT_THROW(team.check(), Error);
      error = Error(error.code(), std::string(error.what()) + "; two shards are whole");
    }
    EXPECT_FALSE(team.fail(error));
  });
}

TEST(Team, IsNotLeftByOneWhileOthersGoOn) {
  in_team(3, [](Team& team) {
    const Error error =
        error_of([&] { team.rank() == 1 ? team.leave() : static_cast<void>(team.gather("")); });
    EXPECT_STREQ(error.what(), "rank 1 was asked for something else than rank 0: it has nothing more to do");
    EXPECT_TRUE(team.fail(error));
  });
}

TEST(Team, KnowsWhenAllHaveFailedAlike) {
  in_team(3, [](Team& team) { EXPECT_TRUE(team.fail(Error(ErrorCode::invalid_argument, "no such thing"))); });
  in_team(2, [](Team& team) {
    EXPECT_FALSE(
        team.fail(Error(team.rank() == 0 ? ErrorCode::io : ErrorCode::interrupted, "no such thing")));
  });
}

TEST(Team, FailsIfRankZeroCannotTakeANote) {
  in_team(2, [](Team& team) {
    if (team.rank() == 0) team.listen([](int, const std::string& note) { throw Error(ErrorCode::io, note); });
    team.send("full");
    const Error error = error_of([&] {
      for (;;) team.gather("");
    });
    EXPECT_EQ(error.code(), ErrorCode::io);
    team.fail(error);
  });
}

}  // namespace
}  // namespace mxfp4::job
