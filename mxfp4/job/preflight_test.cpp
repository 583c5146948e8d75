
#include <gtest/gtest.h>

#include "mxfp4/base/file.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

TEST(CheckOutput, RefusesWhatWouldDestroySomething) {
  const TestDirectory directory;
  const fs::path in = directory / "in";
  fs::create_directories(in / "inner");
  fs::create_directories(directory / "photos" / "2024");
  fs::create_directory(directory / "empty");
  fs::create_directory(directory / "model");
  fs::create_directory_symlink(in, directory / "link");
  write_file(directory / "model" / "model.safetensors", "x");
  write_file(directory / "file", "x");
  const auto refused = [&](const fs::path& out, bool overwrite, const std::string& part) {
    const Error error = error_of([&] { check_output(in, out, true, overwrite); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  };
  refused(in, true, "IN and OUT are the same");
  refused(in / "", true, "IN and OUT are the same");
  refused(directory / "link", true, "IN and OUT are the same");
  refused(in / "out", true, "OUT lies inside IN");
  refused(in / ".." / "in" / "x", true, "OUT lies inside IN");
  refused(directory.path(), true, "lies inside OUT");
  refused(directory / "model", false, "exists already");
  refused(directory / "photos", true, "holds no model");
  refused(directory / "file", true, "OUT must be one");
  fs::create_symlink(directory / "nowhere", directory / "dangling");
  refused(directory / "dangling", true, "a link that leads nowhere");
  EXPECT_EQ(error_of([&] { check_output(in, directory / "no" / "such", true, false); }).code(),
            ErrorCode::io);
  check_output(in, directory / "model", true, true);
  check_output(in, directory / "empty", true, false);
  check_output(in, directory / "inner", true, false);
  check_output(in, directory / "input", true, false);  // shares a prefix of its name with IN, no more
}

}  // namespace
}  // namespace mxfp4::job
