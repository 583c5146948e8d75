#include "mxfp4/base/file.h"

#include <functional>
#include <string_view>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/test_directory_internal.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string content(const fs::path& path) {
  return read_file(path, 1 << 20);
}

std::size_t entries(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

ErrorCode code_of(const std::function<void()>& action, std::string_view part_of_message) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_NE(std::string_view(error.what()).find(part_of_message), std::string_view::npos) << error.what();
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::device;
}

TEST(OutputFile, HasItsNameOnlyAfterCommit) {
  const TestDirectory directory;
  const fs::path path = directory / "x.bin";
  OutputFile file(path, 6);
  file.write(3, bytes("def"));
  file.write(0, bytes("abc"));
  EXPECT_FALSE(fs::exists(path));
  file.commit();
  EXPECT_EQ(content(path), "abcdef");
  EXPECT_EQ(entries(directory.path()), 1u);
}

TEST(OutputFile, LeavesNothingWhenDropped) {
  const TestDirectory directory;
  { OutputFile file(directory / "x.bin", 1 << 20); }
  EXPECT_EQ(entries(directory.path()), 0u);
}

TEST(OutputFile, KeepsTheOldFileUntilCommit) {
  const TestDirectory directory;
  const fs::path path = directory / "x.bin";
  write_file(path, "old");
  {
    OutputFile file(path, 3);
    file.write(0, bytes("new"));
  }
  EXPECT_EQ(content(path), "old");
  write_file(path, "new");
  EXPECT_EQ(content(path), "new");
}

TEST(OutputFile, RefusesASecondWriterOfTheSameFile) {
  const TestDirectory directory;
  OutputFile first(directory / "x.bin", 1);
  EXPECT_EQ(code_of([&] { OutputFile second(directory / "x.bin", 1); }, "another process"), ErrorCode::io);
  first.commit();
  EXPECT_TRUE(fs::exists(directory / "x.bin"));
}

TEST(OutputFile, RefusesWhatTheDiskCannotHold) {
  const TestDirectory directory;
  EXPECT_EQ(code_of([&] { OutputFile file(directory / "x.bin", 1ull << 60); }, "reserve"), ErrorCode::io);
  EXPECT_EQ(entries(directory.path()), 0u);
}

TEST(OutputFile, NamesTheDirectoryThatIsMissing) {
  EXPECT_EQ(code_of([] { OutputFile file("/nonexistent/x.bin", 1); }, "/nonexistent/x.bin: cannot create"),
            ErrorCode::io);
}

TEST(MappedFile, ShowsTheBytes) {
  const TestDirectory directory;
  write_file(directory / "x.bin", "hello");
  MappedFile first(directory / "x.bin");
  const MappedFile moved = std::move(first);
  ASSERT_EQ(moved.bytes().size(), 5u);
  EXPECT_EQ(static_cast<char>(moved.bytes()[4]), 'o');
  moved.will_need(moved.bytes());
  moved.done_with(moved.bytes());
  EXPECT_EQ(static_cast<char>(moved.bytes()[0]), 'h');
}

TEST(MappedFile, AcceptsAnEmptyFile) {
  const TestDirectory directory;
  write_file(directory / "empty", "");
  EXPECT_TRUE(MappedFile(directory / "empty").bytes().empty());
}

TEST(MappedFile, RefusesWhatIsNoRegularFile) {
  const TestDirectory directory;
  EXPECT_EQ(code_of([&] { MappedFile file(directory.path()); }, "not a regular file"), ErrorCode::io);
  ASSERT_EQ(mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(code_of([&] { MappedFile file(directory / "pipe"); }, "not a regular file"), ErrorCode::io);
  EXPECT_EQ(code_of([&] { MappedFile file(directory / "missing"); }, "cannot open"), ErrorCode::io);
}

TEST(ReadFile, RefusesMoreThanTheLimit) {
  const TestDirectory directory;
  write_file(directory / "x", "12345");
  EXPECT_EQ(read_file(directory / "x", 5), "12345");
  EXPECT_EQ(code_of([&] { read_file(directory / "x", 4); }, "5 bytes, more than the 4"),
            ErrorCode::corrupt_file);
}

}  // namespace
}  // namespace mxfp4
