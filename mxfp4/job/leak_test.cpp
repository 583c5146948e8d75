// Whatever ends a job, it leaves no open file, no mapping, no thread and no file of its own behind.
#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/file.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/job/dequantize_job.h"
#include "mxfp4/job/inspect_job.h"
#include "mxfp4/job/quantize_job.h"
#include "mxfp4/job/synth_job.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

std::ptrdiff_t entries(const char* directory) {
  return std::distance(fs::directory_iterator(directory), fs::directory_iterator());
}

/// Mappings of files below a directory.
int mappings_of(const fs::path& directory) {
  std::ifstream maps("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find(directory.native()) != std::string::npos;
  return count;
}

class Leaks : public testing::Test {
 protected:
  Leaks() {
    SynthRequest synth;
    synth.out = in;
    synth.layers = 2;
    synth.options.max_shard = 100'000;
    run_synth(synth);
    request.in = in;
    request.out = out;
    request.options.threads = 2;
    request.options.max_shard = 50'000;
    run_quantize(request);  // a first run starts threads that stay
    fs::remove_all(out);
  }

  /// Runs the request, which must fail, and looks for what is left.
  void expect_clean_failure(ErrorCode code, const std::function<void()>& action) {
    const std::ptrdiff_t files = entries("/proc/self/fd");
    try {
      action();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
    }
    EXPECT_EQ(entries("/proc/self/fd"), files);
    EXPECT_EQ(mappings_of(directory.path()), 0);
    EXPECT_FALSE(fs::exists(out));
  }
  void expect_clean_failure(ErrorCode code) {
    expect_clean_failure(code, [&] { run_quantize(request); });
    EXPECT_FALSE(fs::exists(partial));
  }

  fs::path shard(int number) const {
    std::vector<fs::path> shards;
    for (const auto& entry : fs::directory_iterator(in)) {
      if (entry.path().extension() == ".safetensors") shards.push_back(entry.path());
    }
    std::sort(shards.begin(), shards.end());
    return shards.at(static_cast<std::size_t>(number));
  }

  TestDirectory directory;
  fs::path in = directory / "in", out = directory / "out", partial = directory / "out.mxfp4-partial";
  QuantizeRequest request;
};

TEST_F(Leaks, NoneAfterAMissingShard) {
  fs::remove(shard(1));
  expect_clean_failure(ErrorCode::corrupt_file);
}

TEST_F(Leaks, NoneAfterATruncatedShard) {
  fs::resize_file(shard(1), fs::file_size(shard(1)) - 1);
  expect_clean_failure(ErrorCode::corrupt_file);
}

TEST_F(Leaks, NoneAfterAConfigThatIsNoConfig) {
  write_file(in / "config.json", "{");
  expect_clean_failure(ErrorCode::corrupt_file);
}

TEST_F(Leaks, NoneAfterAPatternThatMatchesNothing) {
  request.exclude = {"nothing.like.this"};
  expect_clean_failure(ErrorCode::invalid_argument);
}

TEST_F(Leaks, NoneAfterAnElementThatIsNotFinite) {
  // Every second byte of a file of BF16 is the upper one; experts fill most of it.
  const auto size = static_cast<std::streamoff>(fs::file_size(shard(1)));
  std::fstream file(shard(1), std::ios::in | std::ios::out | std::ios::binary);
  for (std::streamoff at = size / 2 / 2 * 2; at < size; at += 2) {
    file.seekp(at);
    file.write("\x80\x7f", 2);
  }
  file.close();
  expect_clean_failure(ErrorCode::corrupt_file);
}

TEST_F(Leaks, NoneAfterTooLittleMemory) {
  request.options.max_memory = 1 << 20;
  expect_clean_failure(ErrorCode::out_of_memory);
}

TEST_F(Leaks, NoneButFinishedShardsAfterAStop) {
  class StopLater : public Progress {
   public:
    void advance(std::uint64_t done, std::uint64_t total) override { stop = stop || 2 * done > total; }
    void warn(const std::string&) override {}
    std::atomic<bool> stop{false};
  } progress;
  request.options.progress = &progress;
  request.options.stop = &progress.stop;
  expect_clean_failure(ErrorCode::interrupted, [&] { run_quantize(request); });
  for (const auto& entry : fs::directory_iterator(partial)) {
    EXPECT_FALSE(entry.path().native().ends_with(kPartialSuffix)) << entry.path();
  }
}

TEST_F(Leaks, NoneWhereOtherJobsFail) {
  const DequantizeRequest dequantize{in, out, {}, request.options};
  expect_clean_failure(ErrorCode::invalid_argument, [&] { run_dequantize(dequantize); });
  fs::resize_file(shard(0), 7);
  expect_clean_failure(ErrorCode::corrupt_file, [&] { run_inspect({in, {}, false, nullptr}); });
}

}  // namespace
}  // namespace mxfp4::job
