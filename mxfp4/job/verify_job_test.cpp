#include "mxfp4/job/verify_job.h"

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/job/diff_job.h"

namespace mxfp4::job {
namespace {

std::string text_of(const Problems& problems) {
  std::string text;
  for (const Problem& problem : problems) {
    text += std::string(to_string(problem.kind)) + " [" + problem.tensor + "] " + problem.message + "\n";
  }
  return text;
}

/// The content of a file with the bytes at the end of it replaced.
void overwrite_end(const std::filesystem::path& path, std::string_view bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-static_cast<std::streamoff>(bytes.size()), std::ios::end);
  file << bytes;
}

TEST(Verify, ReportsDoNotDependOnThreads) {
  const TestDirectory directory;
  std::vector<safetensors::TensorSpec> tensors;
  for (int i = 0; i < 40; ++i) tensors.push_back({"w" + std::to_string(i), Dtype::f16, {500, 300}});
  write_tensors(directory / "a.safetensors", tensors);
  std::filesystem::copy(directory / "a.safetensors", directory / "b.safetensors");
  overwrite_end(directory / "b.safetensors", "\xff\x7f");
  VerifyRequest verify;
  verify.path = directory / "b.safetensors";
  verify.against = directory / "a.safetensors";
  DiffRequest diff;
  diff.a = verify.path;
  diff.b = verify.against;
  std::string problems, bytes, values;
  for (const int threads : {1, 2, 3, 8}) {
    verify.threads = diff.threads = threads;
    const VerifyReport report = run_verify(verify);
    EXPECT_FALSE(report.ok());
    EXPECT_EQ(report.tensors, 40u);
    EXPECT_EQ(report.bytes, 40u * 300000);
    diff.values = false;
    const DiffReport by_bytes = run_diff(diff);
    diff.values = true;
    const DiffReport by_values = run_diff(diff);
    if (threads == 1) {
      problems = text_of(report.problems);
      bytes = text_of(by_bytes.differences);
      values = text_of(by_values.differences);
    }
    EXPECT_EQ(text_of(report.problems), problems);
    EXPECT_EQ(text_of(by_bytes.differences), bytes);
    EXPECT_EQ(text_of(by_values.differences), values);
  }
  EXPECT_EQ(
      problems,
      "non-finite [w9] b.safetensors: tensor 'w9': element [499, 299] is NaN; 1 of 150000 elements are not "
      "finite\n"
      "error-bound [w9] b.safetensors: weight 'w9': SQNR -Inf dB is below 12 dB; the largest error is Inf, "
      "element [499, 299]: NaN, originally 0\n");
  EXPECT_EQ(
      bytes,
      "values [w9] b.safetensors: tensor 'w9' [499, 299]: NaN in A, 0 in B; 1 of 150000 elements differ\n");
  EXPECT_EQ(values,
            "values [w9] b.safetensors: weight 'w9' [499, 299]: NaN in A, 0 in B; 1 of 150000 elements "
            "differ, by Inf "
            "at most\n");
}

/// Counts what it is told.
class Watcher : public Progress {
 public:
  void advance(std::uint64_t done, std::uint64_t total) override {
    EXPECT_GE(done, done_);
    EXPECT_LE(done, total);
    done_ = done;
    total_ = total;
  }
  void warn(const std::string&) override {}
  std::uint64_t done_ = 0, total_ = 0;
};

TEST(Verify, ProgressReachesItsTotal) {
  Watcher watcher;
  VerifyRequest verify;
  verify.path = test_model("tiny-gpt-oss/hf-mxfp4");
  verify.against = test_model("tiny-gpt-oss/bf16");
  verify.progress = &watcher;
  const VerifyReport report = run_verify(verify);
  EXPECT_TRUE(report.ok()) << text_of(report.problems);
  EXPECT_EQ(report.compared.size(), 54u);
  EXPECT_GT(watcher.done_, report.bytes);
}

TEST(Verify, AStopEndsIt) {
  const std::atomic<bool> stop{true};
  VerifyRequest verify;
  verify.path = test_model("tiny-gpt-oss/hf-mxfp4");
  verify.stop = &stop;
  EXPECT_TRUE(has_all(error_of([&] { run_verify(verify); }), {"interrupted"}));
  DiffRequest diff;
  diff.a = diff.b = verify.path;
  diff.stop = &stop;
  EXPECT_TRUE(has_all(error_of([&] { run_diff(diff); }), {"interrupted"}));
  diff.values = true;
  EXPECT_TRUE(has_all(error_of([&] { run_diff(diff); }), {"interrupted"}));
}

}  // namespace
}  // namespace mxfp4::job
