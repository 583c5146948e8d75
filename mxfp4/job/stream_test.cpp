#include "mxfp4/job/stream.h"

#include <atomic>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mxfp4/base/file.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kUnitBytes = 1000;

// A tensor whose byte i is (i * 7 + seed) mod 256, made in units of 1000 bytes.
Part pattern(const std::string& name, std::size_t bytes, int seed) {
  Part part;
  part.outputs = {{name, Dtype::u8, {static_cast<std::int64_t>(bytes)}}};
  part.units = (bytes + kUnitBytes - 1) / kUnitBytes;
  part.unit_memory = kUnitBytes;
  part.input_bytes = bytes;
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const std::size_t begin = unit * kUnitBytes, end = std::min(begin + kUnitBytes, bytes);
    for (std::size_t i = begin; i < end; ++i)
      scratch[i - begin] = static_cast<std::byte>(i * 7 + static_cast<std::size_t>(seed));
    write(0, begin, {scratch, end - begin});
  };
  return part;
}

Output three_tensors() {
  Output output;
  output.parts = {pattern("a", 10'000, 1), pattern("b", 2'500, 2), pattern("c", 10'001, 3)};
  return output;
}

void expect_pattern(const TensorFilePtr& file, const std::string& name, std::size_t bytes, int seed) {
  for (const StoredTensor& tensor : file->tensors) {
    if (tensor.name != name) continue;
    ASSERT_EQ(tensor.bytes.size(), bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
      ASSERT_EQ(tensor.bytes[i], static_cast<std::byte>(i * 7 + static_cast<std::size_t>(seed)))
          << name << " at " << i;
    }
    return;
  }
  ADD_FAILURE() << name << " is missing";
}

void expect_message(const Error& error, ErrorCode code, const std::string& part) {
  EXPECT_EQ(error.code(), code) << error.what();
  EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
}

std::size_t entries(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

TEST(WriteOutput, WritesOneFileWithoutAnIndex) {
  const TestDirectory directory;
  Output output = three_tensors();
  output.texts["config.json"] = "{}\n";
  const Written written = write_output(output, directory / "out", true, {});
  EXPECT_EQ(written.files, (std::vector<std::string>{"model.safetensors", "config.json"}));
  const TensorFilePtr file = safetensors::open(directory / "out" / "model.safetensors");
  expect_pattern(file, "a", 10'000, 1);
  expect_pattern(file, "b", 2'500, 2);
  expect_pattern(file, "c", 10'001, 3);
  EXPECT_EQ(file->metadata.at("format"), "pt");
  EXPECT_EQ(entries(directory / "out"), 2u);
  EXPECT_EQ(entries(directory.path()), 1u);
}

TEST(WriteOutput, FillsShardsInOrderAndIndexesThem) {
  const TestDirectory directory;
  Options options;
  options.max_shard = 13'000;
  const Written written = write_output(three_tensors(), directory / "out", true, options);
  ASSERT_EQ(written.files.size(), 3u);
  EXPECT_EQ(written.files[1], "model-00002-of-00002.safetensors");
  const auto index =
      nlohmann::json::parse(read_file(directory / "out" / "model.safetensors.index.json", 10'000));
  EXPECT_EQ(index["metadata"]["total_size"], 22'501);
  EXPECT_EQ(index["weight_map"]["b"], "model-00001-of-00002.safetensors");
  expect_pattern(safetensors::open(directory / "out" / "model-00002-of-00002.safetensors"), "c", 10'001, 3);
}

TEST(WriteOutput, GivesAPartLargerThanAShardOneForItself) {
  Output output;
  output.parts = {pattern("a", 10, 1), pattern("big", 5'000, 2), pattern("c", 10, 3)};
  const ShardPlan plan = plan_shards(output, "out", true, 1'000);
  EXPECT_EQ(plan.shards, (std::vector<std::vector<std::size_t>>{{0}, {1}, {2}}));
  EXPECT_EQ(plan_shards(output, "x.safetensors", false, 1'000).shards.size(), 1u);
}

TEST(WriteOutput, PlansExactlyTheBytesThatItWrites) {
  const TestDirectory directory;
  Output output = three_tensors();
  output.texts["config.json"] = "{\"a\": 1}\n";
  Options options;
  options.max_shard = 1;
  const ShardPlan plan = plan_shards(output, directory / "out", true, options.max_shard);
  write_output(output, directory / "out", true, options);
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(directory / "out")) bytes += entry.file_size();
  EXPECT_EQ(plan.bytes, bytes);
}

TEST(WriteOutput, WritesTheSameBytesForAnyNumberOfThreads) {
  const TestDirectory directory;
  std::string first;
  for (const int threads : {1, 2, 3, 8}) {
    Options options;
    options.threads = threads;
    const fs::path path = directory / ("t" + std::to_string(threads) + ".safetensors");
    write_output(three_tensors(), path, false, options);
    const std::string content = read_file(path, 1 << 20);
    if (first.empty()) first = content;
    EXPECT_EQ(content, first) << threads << " threads";
  }
}

TEST(WriteOutput, LeavesNothingAfterAnError) {
  const TestDirectory directory;
  Output output = three_tensors();
  output.parts[2].run = [](std::size_t unit, std::byte*, const Write&) {
    if (unit == 5) throw Error(ErrorCode::corrupt_file, "bad element");
  };
  Options options;
  options.max_shard = 1;  // the first shards are whole when it happens
  for (const bool is_directory : {true, false}) {
    const fs::path out = directory / (is_directory ? "out" : "out.safetensors");
    expect_message(error_of([&] { write_output(output, out, is_directory, options); }),
                   ErrorCode::corrupt_file, "bad");
    EXPECT_EQ(entries(directory.path()), 0u);
  }
}

TEST(WriteOutput, StopsWhenAsked) {
  const TestDirectory directory;
  std::atomic<bool> stop{false};
  Output output = three_tensors();
  const auto run = output.parts[0].run;
  output.parts[0].run = [&](std::size_t unit, std::byte* scratch, const Write& write) {
    run(unit, scratch, write);
    if (unit == 3) stop = true;
  };
  Options options;
  options.stop = &stop;
  expect_message(error_of([&] { write_output(output, directory / "out", true, options); }),
                 ErrorCode::interrupted, "stopped");
  EXPECT_EQ(entries(directory.path()), 0u);
}

TEST(WriteOutput, ReplacesADirectoryInOneStep) {
  const TestDirectory directory;
  fs::create_directory(directory / "out");
  write_file(directory / "out" / "old.safetensors", "old");
  Options options;
  options.overwrite = true;
  write_output(three_tensors(), directory / "out", true, options);
  EXPECT_FALSE(fs::exists(directory / "out" / "old.safetensors"));
  EXPECT_TRUE(fs::exists(directory / "out" / "model.safetensors"));
  EXPECT_EQ(entries(directory.path()), 1u);
}

TEST(WriteOutput, ReplacesWhatALinkLeadsTo) {
  const TestDirectory directory;
  fs::create_directory(directory / "disk");
  fs::create_directory_symlink(directory / "disk", directory / "out");
  write_file(directory / "file", "old");
  fs::create_symlink(directory / "file", directory / "out.safetensors");
  Options options;
  options.overwrite = true;
  write_output(three_tensors(), directory / "out", true, options);
  write_output(three_tensors(), directory / "out" / "", true, options);
  write_output(three_tensors(), directory / "out.safetensors", false, options);
  EXPECT_TRUE(fs::is_symlink(directory / "out"));
  EXPECT_TRUE(fs::exists(directory / "disk" / "model.safetensors"));
  EXPECT_TRUE(fs::is_symlink(directory / "out.safetensors"));
  EXPECT_GT(fs::file_size(directory / "file"), 20'000u);
}

TEST(WriteOutput, ClearsWhatAKilledProcessLeft) {
  const TestDirectory directory;
  const fs::path stale = (directory / "out").native() + std::string(kPartialSuffix);
  fs::create_directory(stale);
  write_file(stale / "model-00009-of-00009.safetensors", "half");
  write_output(three_tensors(), directory / "out", true, {});
  EXPECT_FALSE(fs::exists(directory / "out" / "model-00009-of-00009.safetensors"));
  EXPECT_EQ(entries(directory.path()), 1u);
}

TEST(WriteOutput, CopiesFilesWithTheirDirectories) {
  const TestDirectory directory;
  fs::create_directories(directory / "in" / "1_Pooling");
  write_file(directory / "in" / "1_Pooling" / "config.json", "{}");
  Output output = three_tensors();
  output.copy_from = directory / "in";
  output.copies = {"1_Pooling/config.json"};
  write_output(output, directory / "out", true, {});
  EXPECT_EQ(read_file(directory / "out" / "1_Pooling" / "config.json", 10), "{}");
}

TEST(WriteOutput, SaysWhenMemoryDoesNotSuffice) {
  const TestDirectory directory;
  Options options;
  options.max_memory = 1000;
  expect_message(error_of([&] { write_output(three_tensors(), directory / "out", true, options); }),
                 ErrorCode::out_of_memory, "--max-memory of 1000 bytes is too small");
  EXPECT_EQ(entries(directory.path()), 0u);
}

TEST(WriteOutput, TellsProgressUpToTheWhole) {
  class Recorder : public Progress {
   public:
    void advance(std::uint64_t done, std::uint64_t total) override {
      EXPECT_GE(done, last);
      last = done;
      whole = total;
    }
    void warn(const std::string&) override {}
    std::uint64_t last = 0, whole = 0;
  };
  const TestDirectory directory;
  Recorder recorder;
  Options options;
  options.progress = &recorder;
  write_output(three_tensors(), directory / "out", true, options);
  EXPECT_EQ(recorder.last, 22'501u);
  EXPECT_EQ(recorder.whole, 22'501u);
}

}  // namespace
}  // namespace mxfp4::job
