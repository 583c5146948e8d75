#include "mxfp4/job/stream.h"

#include <algorithm>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <sstream>
#include <utility>

#include "mxfp4/base/crc32c.h"
#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/file.h"
#include "mxfp4/base/memory.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/job/deal_internal.h"
#include "mxfp4/job/work_directory_internal.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kAlignment = 64;
constexpr std::uint64_t kCopyChunk = 1 << 20;

// An input that was changed under way explains whatever else went wrong.
void check_inputs(const Output& output) {
  for (const MappedFile* const input : output.inputs) input->check_unchanged();
}

/// Scratch memory of one worker.
class Scratch {
 public:
  explicit Scratch(std::size_t size)
      : data_(static_cast<std::byte*>(
            ::operator new(std::max(size, kAlignment), std::align_val_t(kAlignment)))) {}
  std::byte* data() const noexcept { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept { ::operator delete(data, std::align_val_t(kAlignment)); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

constexpr std::uint64_t kReserve = 16 << 20;
constexpr std::uint64_t kMaxThreads = 1024;

/// Runs parts into files, one shard after the other.
class Writer {
 public:
  Writer(const Output& output, const Options& options)
      : output_(output), options_(options), workers_(plan_workers(output, options)) {
    for (int worker = 0; worker < workers_.context.threads; ++worker)
      scratch_.emplace_back(workers_.unit_memory);
  }

  /// Bytes of input that will be read, by all ranks, for progress.
  void expect(const std::vector<std::size_t>& parts) {
    for (const std::size_t part : parts) total_ += output_.parts[part].input_bytes;
  }

  /// Called, perhaps on another thread, once a file has its name, with the checksum of its bytes.
  using Whole = std::function<void(std::uint32_t crc32c)>;

  /// Writes a file of parts.
  void write_shard(const std::vector<std::size_t>& parts, const fs::path& path, Whole whole) {
    const safetensors::Layout layout = output_.layout(specs_of(output_, parts), output_.metadata);
    auto file = std::make_unique<OutputFile>(path, layout.size);
    FileCrc32c sum(layout.size);
    const auto write = [&](std::uint64_t offset, std::span<const std::byte> bytes) {
      file->write(offset, bytes);  // first: of an input that was shortened the system refuses the lost pages
      sum.add(offset, bytes);
    };
    write(0, std::as_bytes(std::span(layout.head)));

    struct Unit {
      const Part* part;
      std::size_t index;
      std::size_t first_output;  ///< of the part, among the shard's specs
    };
    std::vector<Unit> units;
    std::size_t first_output = 0;
    for (const std::size_t index : parts) {
      const Part& part = output_.parts[index];
      for (std::size_t unit = 0; unit < part.units; ++unit) units.push_back({&part, unit, first_output});
      first_output += part.outputs.size();
    }
    parallel_for(workers_.context, units.size(), [&](int worker, std::size_t index) {
      check_stop();
      const Unit& unit = units[index];
      unit.part->run(unit.index, scratch_[static_cast<std::size_t>(worker)].data(),
                     [&](std::size_t output, std::uint64_t offset, std::span<const std::byte> bytes) {
                       write(layout.offsets[unit.first_output + output] + offset, bytes);
                     });
      report(unit_bytes(*unit.part, unit.index));
    });
    check_inputs(output_);
    // The disk takes its time to sync; the next shard is made meanwhile.
    finish();
    pending_ = std::async(std::launch::async,
                          [file = std::move(file), whole = std::move(whole), crc32c = sum.value()] {
                            file->commit();
                            whole(crc32c);
                          });
  }

  /// Waits until every shard has its name.
  void finish() {
    if (pending_.valid()) pending_.get();
  }

  void copy(const fs::path& from, const fs::path& to) {
    check_stop();
    const MappedFile source(from);
    OutputFile file(to, source.bytes().size());
    for (std::uint64_t offset = 0; offset < source.bytes().size(); offset += kCopyChunk) {
      if (options_.team != nullptr) options_.team->advance(0);
      file.write(offset, source.bytes().subspan(
                             offset, std::min<std::uint64_t>(kCopyChunk, source.bytes().size() - offset)));
    }
    source.check_unchanged();
    file.commit();
  }

  std::uint64_t peak_memory() const noexcept { return peak_memory_; }

 private:
  void check_stop() const {
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
      fail(ErrorCode::interrupted, "stopped");
    }
    if (options_.team != nullptr) options_.team->check();
  }

  /// A unit's share of the part's input; the shares of all units add up to it.
  static std::uint64_t unit_bytes(const Part& part, std::size_t unit) {
    const auto until = [&](std::size_t count) {
      return static_cast<std::uint64_t>(static_cast<unsigned __int128>(part.input_bytes) * count /
                                        part.units);
    };
    return until(unit + 1) - until(unit);
  }

  void report(std::uint64_t bytes) {
    Team* const team = options_.team;
    if (team != nullptr) team->advance(bytes);
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    peak_memory_ = std::max(peak_memory_, anonymous_memory());
    if (options_.progress != nullptr)
      options_.progress->advance(team == nullptr ? done_ : team->done(), total_);
  }

  const Output& output_;
  const Options& options_;
  Workers workers_;
  std::vector<Scratch> scratch_;
  std::mutex mutex_;
  std::uint64_t done_ = 0, total_ = 0, peak_memory_ = 0;
  std::future<void> pending_;
};

bool is_first(const Team* team) noexcept {
  return team == nullptr || team->rank() == 0;
}

// Before anything that others may still be writing to goes.
void end_together(Team* team, const Error& error) {
  if (team != nullptr) team->fail(error);
}

// Waits for all ranks.
void meet(Team* team) {
  if (team != nullptr) team->gather("");
}

// What an error was, where the inputs do not explain it; where they do, that is thrown.
void end_after(const Output& output, Team* team, const Error& error) {
  try {
    check_inputs(output);
  } catch (const Error& changed) {
    end_together(team, changed);
    throw;
  }
  end_together(team, error);
}

void check_bare(const Output& output, const fs::path& out, bool first) {
  try {
    output.check(out);
  } catch (...) {
    if (first) fs::remove(out);
    throw;
  }
}

// A single file is made by the first rank; all read it back.
Written write_bare(const Output& output, const ShardPlan& plan, const fs::path& out, const Options& options) {
  Team* const team = options.team;
  try {
    Writer writer(output, options);
    if (is_first(team)) {
      warn_of_idle_ranks(options, 1);
      writer.expect(plan.shards[0]);
      writer.write_shard(plan.shards[0], out, [](std::uint32_t) {});
      writer.finish();
      std::map<std::string, std::string> none;
      if (output.finish) output.finish(none);
    }
    meet(team);
    if (output.check) {
      if (!is_first(team)) wait_for_file(*team, out);
      check_bare(output, out, is_first(team));
    }
    return {plan.names, writer.peak_memory()};
  } catch (const Error& error) {
    end_after(output, team, error);
    throw;
  } catch (...) {
    check_inputs(output);
    throw;
  }
}

/// The shards that are not whole yet, for all ranks, once rank 0 has made the work directory.
std::vector<std::size_t> missing_shards(const ShardPlan& plan, WorkDirectory* work, Team* team) {
  std::vector<std::size_t> missing;
  std::string text;
  for (std::size_t shard = 0; work != nullptr && shard < plan.shards.size(); ++shard) {
    if (work->restore(shard)) continue;
    missing.push_back(shard);
    text += fmt::format("{} ", shard);
  }
  if (team == nullptr) return missing;
  std::istringstream words(team->gather(text)[0]);
  return {std::istream_iterator<std::size_t>(words), {}};
}

void write_shards(const Output& output, const ShardPlan& plan, const fs::path& directory, WorkDirectory* work,
                  Writer& writer, const Options& options) {
  Team* const team = options.team;
  const std::vector<std::size_t> missing = missing_shards(plan, work, team);
  if (work == nullptr) wait_for_file(*team, directory / Journal::kName);
  std::vector<std::uint64_t> bytes;
  for (const std::size_t shard : missing) {
    bytes.push_back(work_of(output, plan.shards[shard]));
    writer.expect(plan.shards[shard]);
  }
  if (is_first(team)) warn_of_idle_ranks(options, missing.size());
  const std::vector<int> owners = deal_shards(bytes, team == nullptr ? 1 : team->size());
  for (std::size_t i = 0; i < missing.size(); ++i) {
    if (team != nullptr && owners[i] != team->rank()) continue;
    const std::size_t shard = missing[i];
    // It may still be called when an error has ended this function.
    const auto note = [&output, &plan, work, team, shard](std::uint32_t crc32c) {
      ShardNotes notes = notes_of_shard(output, plan.shards[shard], crc32c);
      work != nullptr ? work->record(shard, std::move(notes)) : team->send(to_note(shard, notes));
    };
    writer.write_shard(plan.shards[shard], directory / plan.names[shard], note);
  }
  writer.finish();
  meet(team);
}

/// What rank 0 adds to the shards.
void write_rest(const Output& output, const ShardPlan& plan, const fs::path& directory, Writer& writer,
                Written& written) {
  std::map<std::string, std::string> texts = output.texts;
  if (output.finish) output.finish(texts);
  if (plan.indexed) texts["model.safetensors.index.json"] = index_text(output, plan);
  for (const auto& [name, text] : texts) {
    write_file(directory / name, text);
    written.files.push_back(name);
  }
  for (const fs::path& copy : output.copies) {
    fs::create_directories((directory / copy).parent_path());
    writer.copy(output.copy_from / copy, directory / copy);
    written.files.push_back(copy.native());
  }
}

Written write_directory(const Output& output, const ShardPlan& plan, const fs::path& out,
                        const Options& options) {
  Team* const team = options.team;
  const fs::path directory = staging_path(out);
  std::optional<WorkDirectory> work;
  if (is_first(team)) work.emplace(out, output, plan, options);
  const Listening listening(team, [&](const std::string& note) {
    auto [shard, notes] = from_note(note);
    take_statistics(output, plan.shards[shard], notes);
    work->record(shard, std::move(notes));
  });
  bool read_back = false;
  try {
    Written written{plan.names, 0};
    Writer writer(output, options);  // ends before `work` does: it may still be syncing a shard there
    write_shards(output, plan, directory, work ? &*work : nullptr, writer, options);
    if (work) write_rest(output, plan, directory, writer, written);
    meet(team);
    read_back = true;
    if (output.check) {
      output.check(directory);
      meet(team);
    }
    if (work) work->commit();
    written.peak_memory = writer.peak_memory();
    return written;
  } catch (const Error& error) {
    end_after(output, team, error);
    if (!work || !work->keep_after(error.code())) throw;
    const bool doubtful = read_back && error.code() == ErrorCode::io;
    throw Error(error.code(), fmt::format("{}; {}", error.what(), work->kept_message(doubtful)));
  } catch (...) {  // no memory, most likely
    end_together(team, Error(ErrorCode::out_of_memory, "out of memory"));
    if (work) work->keep_after(ErrorCode::out_of_memory);
    throw;
  }
}

}  // namespace

Workers plan_workers(const Output& output, const Options& options) {
  Workers workers;
  std::size_t units = 0;
  for (const Part& part : output.parts) {
    workers.unit_memory = std::max(workers.unit_memory, part.unit_memory);
    units += part.units;
  }
  // What is in use already, thread stacks and the allocator's slack come on top of the scratch memory.
  const std::uint64_t used = anonymous_memory() + kReserve;
  const std::uint64_t free = options.max_memory > used ? options.max_memory - used : 0;
  if (free < workers.unit_memory) {
    fail(ErrorCode::out_of_memory, "--max-memory of {} bytes is too small: this model needs {}",
         options.max_memory, used + workers.unit_memory);
  }
  int& threads = workers.context.threads;
  if (options.threads > 0) threads = options.threads;
  const std::uint64_t affordable = workers.unit_memory == 0 ? units : free / workers.unit_memory;
  const std::uint64_t useful =
      std::clamp<std::uint64_t>(std::min<std::uint64_t>(affordable, units), 1, kMaxThreads);
  threads = static_cast<int>(std::min<std::uint64_t>(useful, static_cast<std::uint64_t>(threads)));
  return workers;
}

Written write_output(const Output& output, const fs::path& out, bool directory, const Options& options) {
  const fs::path to = followed(out);
  const ShardPlan plan = plan_shards(output, to, directory, options.max_shard);
  if (options.team != nullptr) {
    Traits traits = {{"OUT", fs::absolute(to).native()}, {"reads OUT back", output.check ? "yes" : "no"}};
    const Traits others = all_traits(output, options);
    traits.insert(traits.end(), others.begin(), others.end());
    check_same_job(*options.team, traits);
  }
  Written written =
      directory ? write_directory(output, plan, to, options) : write_bare(output, plan, to, options);
  written.peak_memory = std::max(written.peak_memory, anonymous_memory());
  return written;
}

}  // namespace mxfp4::job
