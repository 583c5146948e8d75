#include "mxfp4/comm/communicator.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/comm/start.h"
#include "mxfp4/comm/test_communicator_internal.h"
#include "mxfp4/comm/test_thread_ranks_internal.h"

namespace mxfp4 {
namespace {

TEST(Communicator, DoesWithOneProcessWhatItDoesWithMany) {
  expect_a_communicator(*single_process());
}

TEST(Communicator, SumsInTheOrderOfTheRanks) {
  for (const int ranks : {2, 3, 5}) on_ranks(ranks, expect_a_communicator);
}

TEST(Communicator, IsTheSingleProcessWithoutALauncher) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"}) unsetenv(name);
  EXPECT_EQ(launched_as(), "");
  EXPECT_EQ(start_communicator()->size(), 1);
  setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
  EXPECT_EQ(launched_as(), "");
  unsetenv("OMPI_COMM_WORLD_SIZE");
  for (const char* name : {"PMIX_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"}) {
    setenv(name, "3", 1);
    EXPECT_EQ(launched_as(), std::string(name) + "=3");
  }
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"}) unsetenv(name);
}

}  // namespace
}  // namespace mxfp4
