#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/comm/start.h"
#include "mxfp4/comm/test_communicator_internal.h"
#include "mxfp4/comm/test_ranks_internal.h"

namespace mxfp4 {
namespace {

std::unique_ptr<Communicator> all_ranks;

TEST(Ranks, AreACommunicator) {
  expect_a_communicator(ranks());
}

TEST(Ranks, AreAsManyAsTheLauncherSays) {
  const char* const size = std::getenv("OMPI_COMM_WORLD_SIZE");
  EXPECT_EQ(ranks().size(), size == nullptr ? 1 : std::atoi(size));
}

TEST(Ranks, SayForWhomTheyHaveWaitedTooLong) {
  const int late = ranks().size() - 1;
  if (late == 0) return;
  const auto timeout = std::exchange(ranks().timeout, std::chrono::milliseconds(150));
  if (ranks().rank() == late) {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
  } else {
    std::byte room{};
    std::vector<std::span<const std::byte>> send(static_cast<std::size_t>(ranks().size()));
    std::vector<std::span<std::byte>> receive(send.size());
    receive[static_cast<std::size_t>(late)] = {&room, 1};
    const Error error = error_of([&] { ranks().exchange(send, receive); });
    EXPECT_EQ(error.what(), "rank " + std::to_string(ranks().rank()) + " has waited 0.15 s for rank " +
                                std::to_string(late) + ": it has stopped, hangs or is out of reach");
  }
  ranks().timeout = timeout;
}

}  // namespace

Communicator& ranks() {
  return *all_ranks;
}

}  // namespace mxfp4

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  mxfp4::all_ranks = mxfp4::start_communicator();
  mxfp4::all_ranks->timeout = std::chrono::seconds(60);  // for whom another rank's failed test leaves alone
  const int status = RUN_ALL_TESTS();
  mxfp4::all_ranks.reset();
  return status;
}
