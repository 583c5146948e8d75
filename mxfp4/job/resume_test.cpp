// What a run that is cut short leaves, and how the next one goes on from it.
#include <fstream>
#include <functional>
#include <optional>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "mxfp4/base/file.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/job/stream.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

constexpr int kShards = 4;

struct Attempt {
  Output output;
  Options options;
};

/// Four shards of one tensor each, with statistics. The third throws, if an error is given.
void make(Attempt& attempt, std::optional<ErrorCode> error = {}) {
  for (int shard = 0; shard < kShards; ++shard) {
    Part part;
    part.outputs = {{"tensor" + std::to_string(shard), Dtype::u8, {100}}};
    part.units = 1;
    part.unit_memory = 100;
    part.input_bytes = 100;
    part.stats = std::make_shared<StatsCollector>();
    part.run = [=, stats = part.stats](std::size_t, std::byte* scratch, const Write& write) {
      if (error && shard == 2) throw Error(*error, "a part failed");
      std::fill_n(scratch, 100, static_cast<std::byte>(shard + 1));
      ErrorStats unit;
      unit.signal = 1.0 / 3 + shard;
      unit.noise = 1e-300;
      unit.elements = 100;
      unit.blocks = 4;
      unit.lossless_blocks = 3;
      unit.saturated = 2;
      unit.scales[255] = 1;
      unit.scales[7] = 3;
      stats->record(0, unit);
      write(0, 0, {scratch, 100});
    };
    attempt.output.parts.push_back(std::move(part));
  }
  attempt.output.texts["config.json"] = "{}";
  attempt.output.traits = {{"--scale", "optimal"}};
  attempt.options.max_shard = 100;
  attempt.options.threads = 1;
}

struct Recorder : Progress {
  void advance(std::uint64_t done, std::uint64_t total) override { last = {done, total}; }
  void warn(const std::string& message) override { warnings += message + "\n"; }
  std::pair<std::uint64_t, std::uint64_t> last;
  std::string warnings;
};

std::string message_of(const std::function<void()>& action, ErrorCode code) {
  const Error error = error_of(action);
  EXPECT_EQ(error.code(), code) << error.what();
  return error.what();
}

class Resume : public testing::Test {
 protected:
  /// A run that is cut short in its third shard.
  std::string cut_short(ErrorCode error = ErrorCode::interrupted) {
    Attempt attempt;
    make(attempt, error);
    return message_of([&] { write_output(attempt.output, out, true, attempt.options); }, error);
  }

  /// Goes on; the statistics of all parts together.
  ErrorStats go_on(const std::function<void(Attempt&)>& change = nullptr) {
    Attempt attempt;
    make(attempt);
    attempt.options.resume = true;
    if (change) change(attempt);
    write_output(attempt.output, out, true, attempt.options);
    ErrorStats total;
    for (const Part& part : attempt.output.parts) total.add(part.stats->total());
    return total;
  }

  ino_t number_of(const fs::path& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_ino;
  }

  void expect_whole() {
    Attempt attempt;
    make(attempt);
    const fs::path whole = directory / "whole";
    write_output(attempt.output, whole, true, attempt.options);
    for (const auto& entry : fs::directory_iterator(whole)) {
      EXPECT_EQ(read_file(entry.path(), 10'000), read_file(out / entry.path().filename(), 10'000));
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(whole), {}),
              std::distance(fs::directory_iterator(out), {}));
    EXPECT_FALSE(fs::exists(partial));
  }

  TestDirectory directory;
  fs::path out = directory / "out";
  fs::path partial = directory / "out.mxfp4-partial";
  fs::path first_shard = partial / "model-00001-of-00004.safetensors";
};

TEST_F(Resume, KeepsWhatIsWholeAfterAStopAndSaysHowToGoOn) {
  for (const ErrorCode error : {ErrorCode::interrupted, ErrorCode::io, ErrorCode::out_of_memory}) {
    const std::string message = cut_short(error);
    EXPECT_NE(message.find("2 of 4 shards are whole in " + partial.native() + ": --resume goes on"),
              std::string::npos)
        << message;
    EXPECT_FALSE(fs::exists(out));
    EXPECT_TRUE(fs::exists(first_shard));
    EXPECT_FALSE(fs::exists(partial / "model-00003-of-00004.safetensors"));
  }
}

TEST_F(Resume, DoesNotCallWholeWhatWasReadBackOtherwise) {
  const fs::path second = "model-00002-of-00004.safetensors";
  Attempt attempt;
  make(attempt);
  attempt.output.check = [&](const fs::path& written) {
    std::fstream(written / second, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(-1, std::ios::end)
        .put(9);
    throw Error(ErrorCode::io, "it is not what it was");
  };
  const std::string message =
      message_of([&] { write_output(attempt.output, out, true, attempt.options); }, ErrorCode::io);
  EXPECT_EQ(message, "it is not what it was; it stays in " + partial.native() +
                         ": --resume makes the shards anew that were damaged there, if any");
  const ino_t first = number_of(first_shard), damaged = number_of(partial / second);
  go_on([](Attempt& again) { again.output.check = [](const fs::path&) {}; });
  EXPECT_EQ(number_of(out / first_shard.filename()), first);
  EXPECT_NE(number_of(out / second), damaged);
  expect_whole();
}

TEST_F(Resume, KeepsNothingWhereTheSameRunWouldFailAgain) {
  for (const ErrorCode code :
       {ErrorCode::corrupt_file, ErrorCode::invalid_argument, ErrorCode::unsupported}) {
    cut_short(code);
    EXPECT_FALSE(fs::exists(partial));
  }
}

TEST_F(Resume, MakesOnlyWhatIsMissing) {
  cut_short();
  const ino_t first = number_of(first_shard);
  go_on([](Attempt& attempt) {
    for (int shard : {0, 1}) {
      attempt.output.parts[static_cast<std::size_t>(shard)].run = [](auto...) {
        FAIL() << "was whole already";
      };
    }
  });
  EXPECT_EQ(number_of(out / "model-00001-of-00004.safetensors"), first);
  expect_whole();
}

TEST_F(Resume, KnowsTheStatisticsOfAllShards) {
  const ErrorStats whole = go_on();  // nothing was begun, so it simply begins
  fs::remove_all(out);
  cut_short();
  const ErrorStats resumed = go_on();
  EXPECT_EQ(whole.signal, resumed.signal);
  EXPECT_EQ(whole.noise, resumed.noise);
  EXPECT_EQ(whole.elements, resumed.elements);
  EXPECT_EQ(whole.blocks, resumed.blocks);
  EXPECT_EQ(whole.lossless_blocks, resumed.lossless_blocks);
  EXPECT_EQ(whole.saturated, resumed.saturated);
  EXPECT_EQ(whole.scales, resumed.scales);
}

TEST_F(Resume, CanBeCutShortAgainAndAgain) {
  cut_short();
  const std::string message = message_of(
      [&] {
        go_on([](Attempt& attempt) {
          attempt.output.parts[3].run = [](auto...) { throw Error(ErrorCode::io, "again"); };
        });
      },
      ErrorCode::io);
  EXPECT_NE(message.find("again; 3 of 4 shards are whole"), std::string::npos) << message;
  go_on();
  expect_whole();
}

TEST_F(Resume, RefusesAnotherRunAndNamesTheDifference) {
  cut_short();
  const auto refused = [&](const std::function<void(Attempt&)>& change) {
    return message_of([&] { go_on(change); }, ErrorCode::invalid_argument);
  };
  std::string message = refused([](Attempt& attempt) { attempt.output.traits = {{"--scale", "floor"}}; });
  EXPECT_NE(message.find("with --scale: optimal, but this is --scale: floor"), std::string::npos) << message;
  message = refused([](Attempt& attempt) { attempt.options.max_shard = 101; });
  EXPECT_NE(message.find("with --max-shard: 100, but this is --max-shard: 101"), std::string::npos)
      << message;
  message = refused([](Attempt& attempt) { attempt.output.traits.emplace_back("'w'", "kept"); });
  EXPECT_NE(message.find("with nothing more, but this is 'w': kept"), std::string::npos) << message;
  message = refused([](Attempt& attempt) { attempt.output.traits.clear(); });
  EXPECT_NE(message.find("with --scale: optimal, but this is nothing more"), std::string::npos) << message;
  go_on();  // nothing was lost by that
  expect_whole();
}

TEST_F(Resume, RefusesAnInputThatWasWrittenSince) {
  write_file(directory / "in", "before");
  const MappedFile input(directory / "in");
  Attempt attempt;
  make(attempt, ErrorCode::interrupted);
  attempt.output.inputs = {&input};
  message_of([&] { write_output(attempt.output, out, true, attempt.options); }, ErrorCode::interrupted);
  write_file(directory / "in", "now it is");
  const MappedFile changed(directory / "in");
  const std::string message = message_of(
      [&] { go_on([&](Attempt& next) { next.output.inputs = {&changed}; }); }, ErrorCode::invalid_argument);
  EXPECT_NE(message.find("\"in\": 6 bytes, written"), std::string::npos) << message;
  EXPECT_NE(message.find("but this is \"in\": 9 bytes, written"), std::string::npos) << message;
}

TEST_F(Resume, MakesAShardAnewThatIsNotAsItWasNoted) {
  const fs::path second = partial / "model-00002-of-00004.safetensors";
  const auto expect_warning = [&](const std::string& expected) {
    write_file(partial / "stray", "x");
    Recorder recorder;
    const ErrorStats resumed = go_on([&](Attempt& attempt) { attempt.options.progress = &recorder; });
    EXPECT_EQ(resumed.elements, 400u);
    EXPECT_NE(recorder.warnings.find(expected), std::string::npos) << recorder.warnings;
    EXPECT_EQ(std::count(recorder.warnings.begin(), recorder.warnings.end(), '\n'), 1);
    expect_whole();
    fs::remove_all(out);
    fs::remove_all(directory / "whole");
  };
  cut_short();
  fs::resize_file(first_shard, 10);
  expect_warning(first_shard.native() + ": has 10 bytes, not 204; it is made anew");
  cut_short();
  fs::remove(second);
  expect_warning(second.native() + ": cannot open: No such file or directory; it is made anew");
  cut_short();
  fs::copy_file(first_shard, second, fs::copy_options::overwrite_existing);
  expect_warning(second.native() + ": was changed after it was written: its CRC-32C is ");
}

TEST_F(Resume, NoticesEveryByteThatWasChangedSince) {
  cut_short();
  const std::string whole = read_file(first_shard, 1000);
  const fs::path saved = directory / "saved";
  fs::rename(partial, saved);
  for (std::size_t at = 0; at < whole.size(); at += 23) {
    fs::remove_all(out);
    fs::copy(saved, partial);
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
    write_file(first_shard, damaged);
    Recorder recorder;
    go_on([&](Attempt& attempt) { attempt.options.progress = &recorder; });
    EXPECT_NE(recorder.warnings.find("its CRC-32C is "), std::string::npos) << at;
    EXPECT_EQ(read_file(out / first_shard.filename(), 1000), whole) << at;
  }
}

TEST_F(Resume, BeginsAnewWithoutAJournalThatCanBeRead) {
  for (const char* const text :
       {"", "{", "[]", "{\"traits\": 1}", R"({"traits": [["a", "b"]]})",
        R"({"traits": [], "finished": {"x": {"crc32c": 1, "parts": [{"signal": "?"}]}}})",
        R"({"traits": [], "finished": {"x": {"parts": []}}})"}) {
    cut_short();
    write_file(partial / "mxfp4-resume.json", text);
    Recorder recorder;
    go_on([&](Attempt& attempt) { attempt.options.progress = &recorder; });
    EXPECT_NE(recorder.warnings.find("mxfp4-resume.json: cannot be read, so everything is made anew"),
              std::string::npos);
    expect_whole();
    fs::remove_all(out);
    fs::remove_all(directory / "whole");
  }
}

TEST_F(Resume, WithoutItWhatIsThereIsMadeAnewWithAWarning) {
  Recorder recorder;
  cut_short();
  const ino_t first = number_of(first_shard);
  const MappedFile holds_the_number(first_shard);
  go_on([&](Attempt& attempt) {
    attempt.options.resume = false;
    attempt.options.progress = &recorder;
  });
  EXPECT_NE(recorder.warnings.find("2 finished shards of an earlier run are made anew"), std::string::npos);
  EXPECT_NE(number_of(out / "model-00001-of-00004.safetensors"), first);
  expect_whole();
}

TEST_F(Resume, ProgressCountsWhatIsLeftToDo) {
  Recorder recorder;
  cut_short();
  go_on([&](Attempt& attempt) { attempt.options.progress = &recorder; });
  EXPECT_EQ(recorder.last, (std::pair<std::uint64_t, std::uint64_t>(200, 200)));
}

TEST_F(Resume, AnInputThatIsWrittenMeanwhileIsAnError) {
  for (const bool is_directory : {true, false}) {
    write_file(directory / "in", "before");
    const MappedFile input(directory / "in");
    Attempt attempt;
    make(attempt);
    attempt.output.inputs = {&input};
    const auto whole = attempt.output.parts[3].run;
    attempt.output.parts[3].run = [&](std::size_t unit, std::byte* scratch, const Write& write) {
      whole(unit, scratch, write);
      std::ofstream(directory / "in") << "longer than before";
    };
    const fs::path to = is_directory ? out : directory / "out.safetensors";
    const std::string message =
        message_of([&] { write_output(attempt.output, to, is_directory, attempt.options); }, ErrorCode::io);
    EXPECT_NE(message.find("was changed while it was read: it had 6 bytes and has 18 now"), std::string::npos)
        << message;
    EXPECT_FALSE(fs::exists(to));
    EXPECT_FALSE(fs::exists(partial));
  }
}

TEST_F(Resume, ASecondProcessOnTheSameOutputIsRefused) {
  Attempt attempt;
  make(attempt);
  const auto first = attempt.output.parts[0].run;
  attempt.output.parts[0].run = [&](std::size_t unit, std::byte* scratch, const Write& write) {
    for (const bool resume : {false, true}) {
      const std::string message =
          message_of([&] { go_on([&](Attempt& other) { other.options.resume = resume; }); }, ErrorCode::io);
      EXPECT_NE(message.find("another process is writing it"), std::string::npos) << message;
    }
    first(unit, scratch, write);
  };
  write_output(attempt.output, out, true, attempt.options);
  expect_whole();
}

}  // namespace
}  // namespace mxfp4::job
