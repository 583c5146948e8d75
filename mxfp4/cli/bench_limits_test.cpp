#include "mxfp4/cli/bench_limits.h"

#include <chrono>
#include <set>
#include <thread>

#include <gtest/gtest.h>

namespace mxfp4::cli {
namespace {

constexpr std::size_t kReads = 6;

Timed steady(const std::string& name, double rate) {
  return {name, rate, {1.0, 1.0, 1.0, 1.0}, {2.0, 2.0, 2.0, 2.0}};
}

// Limits of two threads: six ways to read, int8, f32, int8 of one thread.
std::vector<Timed> measured() {
  std::vector<Timed> timed;
  for (std::size_t i = 0; i < kReads; ++i) {
    timed.push_back(steady("read " + std::to_string(i), i == 3 ? 40.0 : 20.0));
  }
  timed.push_back(steady("int8", 800.0));
  timed.push_back(steady("f32", 200.0));
  timed.push_back(steady("int8, 1 thread", 400.0));
  return timed;
}
std::vector<std::string> warnings_of(std::vector<Timed> timed) {
  return Limits(Context{2, Isa::scalar}, std::move(timed)).warnings();
}

TEST(BenchLimits, TheRooflineIsWhateverTakesLonger) {
  const Limits limits(Context{2, Isa::scalar}, measured());
  EXPECT_EQ(limits.read().name, "read 3");
  const Limit reading = limits.roofline(80.0, 200.0, false);
  EXPECT_TRUE(reading.reads);
  EXPECT_DOUBLE_EQ(reading.seconds, 2.0);
  EXPECT_DOUBLE_EQ(reading.rate, 40.0);
  const Limit f32 = limits.roofline(80.0, 2000.0, false);
  EXPECT_EQ(f32.name, "f32");
  EXPECT_DOUBLE_EQ(f32.seconds, 10.0);
  const Limit int8 = limits.roofline(80.0, 2000.0, true);
  EXPECT_EQ(int8.name, "int8");
  EXPECT_DOUBLE_EQ(int8.seconds, 2.5);
}

TEST(BenchLimits, SteadyOnesWarnOfNothing) {
  EXPECT_EQ(warnings_of(measured()), std::vector<std::string>());
}

TEST(BenchLimits, OneThatMovesIsWarnedOf) {
  for (const std::size_t moved : {std::size_t{3}, kReads, kReads + 1}) {
    std::vector<Timed> timed = measured();
    timed[moved].seconds = {1.0, 1.0, 1.2, 1.2};
    const std::vector<std::string> warnings = warnings_of(timed);
    ASSERT_EQ(warnings.size(), 1u);
    EXPECT_NE(warnings[0].find("'" + timed[moved].name + "' moved by 20 %"), std::string::npos)
        << warnings[0];
    timed[moved].seconds = {1.0, 1.0, 1.1, 1.1};
    EXPECT_EQ(warnings_of(timed).size(), 0u);
  }
}

TEST(BenchLimits, ThreadsThatShareProcessorsAreWarnedOf) {
  std::vector<Timed> timed = measured();
  timed[kReads] = steady("int8", 560.0);
  const std::vector<std::string> warnings = warnings_of(timed);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("2 threads compute 1.4 times"), std::string::npos) << warnings[0];
}

TEST(BenchTurns, ARotationGivesOutEveryCopyBeforeOneComesAgain) {
  Rotation rotation(1 << 20, 1);
  std::set<std::size_t> given;
  for (std::size_t i = 0; i < rotation.copies(); ++i) given.insert(rotation.next());
  EXPECT_EQ(given.size(), rotation.copies());
  EXPECT_EQ(rotation.next(), 0u);
  EXPECT_EQ(rotation.copy(1) - rotation.copy(0), 1 << 20);
  EXPECT_EQ(rotation.fits_cache(), rotation.megabytes() < 220.0) << "megabytes: " << rotation.megabytes();
}

TEST(BenchTurns, TimeThatOtherProgramsHadIsSeen) {
  EXPECT_DOUBLE_EQ(steady("a", 1.0).share_of_processors(2), 1.0);
  EXPECT_DOUBLE_EQ(steady("a", 1.0).share_of_processors(4), 0.5);
  const std::vector<Timed> asleep =
      time_in_turns({{"a", 1.0, [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }}});
  EXPECT_LT(asleep[0].share_of_processors(1), 0.5);
}

TEST(BenchTurns, CandidatesTakeTurns) {
  std::string calls;
  const std::vector<Timed> timed =
      time_in_turns({{"a", 1.0, [&] { calls += 'a'; }}, {"b", 2.0, [&] { calls += 'b'; }}});
  EXPECT_EQ(timed[1].name, "b");
  EXPECT_GE(timed[0].seconds.size(), 15u);
  for (std::size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i], i % 2 == 0 ? 'a' : 'b');
}

}  // namespace
}  // namespace mxfp4::cli
