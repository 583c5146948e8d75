#include "mxfp4/base/parallel.h"

#include <atomic>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mxfp4 {
namespace {

Context with_threads(int threads) {
  Context context;
  context.threads = threads;
  return context;
}

TEST(ParallelFor, TakesEveryIndexOnceWhateverTheThreads) {
  for (const int threads : {1, 2, 3, 8}) {
    for (const std::size_t count : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<std::atomic<int>> taken(count);
      parallel_for(with_threads(threads), count, [&](int worker, std::size_t index) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, threads);
        ++taken[index];
      });
      for (std::size_t index = 0; index < count; ++index) EXPECT_EQ(taken[index], 1) << threads << " threads";
    }
  }
}

TEST(ParallelFor, GivesEachThreadAWorkerOfItsOwn) {
  constexpr int kThreads = 4;
  std::vector<std::atomic<int>> inside(kThreads);
  parallel_for(with_threads(kThreads), 2000, [&](int worker, std::size_t) {
    EXPECT_EQ(inside[static_cast<std::size_t>(worker)].fetch_add(1), 0)
        << "two threads share worker " << worker;
    inside[static_cast<std::size_t>(worker)].fetch_sub(1);
  });
}

TEST(ParallelFor, RethrowsTheErrorOfTheLowestIndex) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    try {
      parallel_for(with_threads(4), 1000, [](int, std::size_t index) {
        if (index % 10 == 7) throw std::runtime_error(std::to_string(index));
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "7");
    }
  }
}

TEST(ParallelFor, BeginsNothingNewAfterAnError) {
  std::atomic<std::size_t> begun{0};
  EXPECT_THROW(parallel_for(with_threads(2), 1'000'000,
                            [&](int, std::size_t) {
                              ++begun;
                              throw std::runtime_error("stop");
                            }),
               std::runtime_error);
  EXPECT_LE(begun, 2u);
}

TEST(ParallelFor, EndsInAForkedProcess) {
  const auto sum_of_indices = [] {
    std::atomic<std::size_t> sum{0};
    parallel_for(with_threads(3), 100, [&](int, std::size_t index) { sum += index; });
    return sum.load();
  };
  ASSERT_EQ(sum_of_indices(), 4950u);  // there are threads now, which a child does not get
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);
    _exit(sum_of_indices() == 4950u ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace mxfp4
