#include "mxfp4/base/lost_pages.h"

#include <csignal>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/file.h"
#include "mxfp4/base/test_directory_internal.h"

namespace mxfp4 {
namespace {

std::string refusal(const MappedFile& file) {
  try {
    file.check_unchanged();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::io);
    return error.what();
  }
  return "";
}

std::size_t sum(const MappedFile& file) {
  std::size_t total = 0;
  for (const std::byte b : file.bytes()) total += static_cast<std::size_t>(b);
  return total;
}

TEST(LostPages, ReadAsZerosAndAreTold) {
  survive_lost_pages();
  const TestDirectory directory;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  write_file(directory / "shrinks", std::string(100 * page, '\1'));
  write_file(directory / "stays", std::string(100 * page, '\1'));
  const MappedFile shrinks(directory / "shrinks"), stays(directory / "stays");
  EXPECT_EQ(sum(shrinks), 100 * page);
  EXPECT_EQ(refusal(shrinks), "");
  std::filesystem::resize_file(directory / "shrinks", 10 * page);
  EXPECT_EQ(sum(shrinks), 10 * page);
  EXPECT_EQ(sum(stays), 100 * page);
  EXPECT_NE(refusal(shrinks).find("it had " + std::to_string(100 * page) + " bytes and has"),
            std::string::npos);
  EXPECT_EQ(refusal(stays), "");
  // What is lost stays lost, whatever stands under the name now.
  std::filesystem::remove(directory / "shrinks");
  EXPECT_NE(refusal(shrinks).find("could not be read"), std::string::npos);
}

TEST(LostPages, AFileThatWasReplacedIsStillWhatItWas) {
  const TestDirectory directory;
  write_file(directory / "x", "before");
  MappedFile first(directory / "x");
  const MappedFile file = std::move(first);
  write_file(directory / "x", "after that");
  EXPECT_EQ(refusal(file), "");
}

TEST(LostPages, AFileThatWasWrittenToIsTold) {
  const TestDirectory directory;
  write_file(directory / "x", "before");
  const MappedFile file(directory / "x");
  std::filesystem::last_write_time(directory / "x",
                                   std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_NE(refusal(file).find("was changed while it was read"), std::string::npos);
}

TEST(LostPages, ThousandsOfFilesAtATimeAreMapped) {
  const TestDirectory directory;
  write_file(directory / "x", "x");
  std::vector<MappedFile> files;
  for (int i = 0; i < 5000; ++i) files.emplace_back(directory / "x");
  EXPECT_EQ(refusal(files.back()), "");
}

TEST(LostPagesDeathTest, OtherBusErrorsEndTheProgram) {
  survive_lost_pages();
  EXPECT_DEATH(raise(SIGBUS), "");  // by the signal, or by what a sanitizer's handler makes of it
}

}  // namespace
}  // namespace mxfp4
