#include "mxfp4/job/stream.h"

#include <algorithm>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/file.h"
#include "mxfp4/base/memory.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/job/staging_internal.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kAlignment = 64;
constexpr std::uint64_t kCopyChunk = 1 << 20;

std::vector<safetensors::TensorSpec> specs_of(const Output& output, const std::vector<std::size_t>& parts) {
  std::vector<safetensors::TensorSpec> specs;
  for (const std::size_t part : parts) {
    specs.insert(specs.end(), output.parts[part].outputs.begin(), output.parts[part].outputs.end());
  }
  return specs;
}

std::uint64_t bytes_of(const Part& part) {
  std::uint64_t bytes = 0;
  for (const safetensors::TensorSpec& spec : part.outputs) bytes += spec.bytes();
  return bytes;
}

std::string index_text(const Output& output, const ShardPlan& plan) {
  nlohmann::json map = nlohmann::json::object();
  std::uint64_t total = 0;
  for (std::size_t shard = 0; shard < plan.shards.size(); ++shard) {
    for (const safetensors::TensorSpec& spec : specs_of(output, plan.shards[shard])) {
      map[spec.name] = plan.names[shard];
      total += spec.bytes();
    }
  }
  return nlohmann::json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(2) + "\n";
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

/// Runs parts into files, one shard after the other.
class Writer {
 public:
  Writer(const Output& output, const Options& options) : output_(output), options_(options) {
    std::size_t unit_memory = 0, units = 0;
    for (const Part& part : output.parts) {
      unit_memory = std::max(unit_memory, part.unit_memory);
      units += part.units;
      total_ += part.input_bytes;
    }
    // What is in use already, thread stacks and the allocator's slack come on top of the scratch memory.
    const std::uint64_t used = anonymous_memory() + kReserve;
    const std::uint64_t free = options.max_memory > used ? options.max_memory - used : 0;
    if (free < unit_memory) {
      fail(ErrorCode::out_of_memory, "--max-memory of {} bytes is too small: this model needs {}",
           options.max_memory, used + unit_memory);
    }
    if (options.threads > 0) context_.threads = options.threads;
    const std::uint64_t affordable = unit_memory == 0 ? units : free / unit_memory;
    const std::uint64_t useful =
        std::clamp<std::uint64_t>(std::min<std::uint64_t>(affordable, units), 1, kMaxThreads);
    context_.threads =
        static_cast<int>(std::min<std::uint64_t>(useful, static_cast<std::uint64_t>(context_.threads)));
    for (int worker = 0; worker < context_.threads; ++worker) scratch_.emplace_back(unit_memory);
  }

  void write_shard(const std::vector<std::size_t>& parts, const fs::path& path) {
    const safetensors::Layout layout = safetensors::layout(specs_of(output_, parts), output_.metadata);
    auto file = std::make_unique<OutputFile>(path, layout.size);
    file->write(0, std::as_bytes(std::span(layout.head)));

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
    parallel_for(context_, units.size(), [&](int worker, std::size_t index) {
      check_stop();
      const Unit& unit = units[index];
      unit.part->run(unit.index, scratch_[static_cast<std::size_t>(worker)].data(),
                     [&](std::size_t output, std::uint64_t offset, std::span<const std::byte> bytes) {
                       file->write(layout.offsets[unit.first_output + output] + offset, bytes);
                     });
      report(unit_bytes(*unit.part, unit.index));
    });
    // The disk takes its time to sync; the next shard is made meanwhile.
    finish();
    pending_ = std::async(std::launch::async, [file = std::move(file)] { file->commit(); });
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
      file.write(offset, source.bytes().subspan(
                             offset, std::min<std::uint64_t>(kCopyChunk, source.bytes().size() - offset)));
    }
    file.commit();
  }

  std::uint64_t peak_memory() const noexcept { return peak_memory_; }

 private:
  static constexpr std::uint64_t kReserve = 16 << 20;
  static constexpr std::uint64_t kMaxThreads = 1024;

  void check_stop() const {
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
      fail(ErrorCode::interrupted, "stopped; nothing was written");
    }
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
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    peak_memory_ = std::max(peak_memory_, anonymous_memory());
    if (options_.progress != nullptr) options_.progress->advance(done_, total_);
  }

  const Output& output_;
  const Options& options_;
  Context context_;
  std::vector<Scratch> scratch_;
  std::mutex mutex_;
  std::uint64_t done_ = 0, total_ = 0, peak_memory_ = 0;
  std::future<void> pending_;
};

bool contains(const fs::path& outer, const fs::path& inner) {
  const auto [end, ignored] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end();
}

// Absolute, with symbolic links resolved as far as the path exists, and without a trailing slash.
fs::path resolved(const fs::path& path) {
  const fs::path full = fs::weakly_canonical(fs::absolute(path));
  return full.has_filename() ? full : full.parent_path();
}

bool holds_model(const fs::path& directory) {
  return std::any_of(fs::directory_iterator(directory), fs::directory_iterator(),
                     [](const auto& entry) { return entry.path().extension() == ".safetensors"; });
}

}  // namespace

ShardPlan plan_shards(const Output& output, const fs::path& out, bool directory, std::uint64_t max_shard) {
  ShardPlan plan;
  std::uint64_t size = 0;
  for (std::size_t part = 0; part < output.parts.size(); ++part) {
    const std::uint64_t bytes = bytes_of(output.parts[part]);
    if (plan.shards.empty() || (directory && size + bytes > max_shard && size > 0)) {
      plan.shards.emplace_back();
      size = 0;
    }
    plan.shards.back().push_back(part);
    size += bytes;
  }
  if (plan.shards.empty()) plan.shards.emplace_back();
  const std::size_t count = plan.shards.size();
  for (std::size_t shard = 0; shard < count; ++shard) {
    plan.names.push_back(!directory   ? out.filename().native()
                         : count == 1 ? "model.safetensors"
                                      : fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, count));
    plan.bytes += safetensors::layout(specs_of(output, plan.shards[shard]), output.metadata).size;
  }
  if (directory) {
    if (count > 1) plan.bytes += index_text(output, plan).size();
    for (const auto& [name, text] : output.texts) plan.bytes += text.size();
    for (const fs::path& copy : output.copies) plan.bytes += fs::file_size(output.copy_from / copy);
  }
  return plan;
}

void check_output(const fs::path& in, const fs::path& out, bool directory, bool overwrite) {
  const fs::path to = resolved(out);
  if (!in.empty()) {
    const fs::path from = resolved(in);
    if (from == to) fail(ErrorCode::invalid_argument, "{}: IN and OUT are the same", out.native());
    if (fs::is_directory(from) && contains(from, to)) {
      fail(ErrorCode::invalid_argument, "{}: OUT lies inside IN ({})", out.native(), in.native());
    }
    if (directory && contains(to, from)) {
      fail(ErrorCode::invalid_argument, "{}: IN ({}) lies inside OUT", out.native(), in.native());
    }
  }
  const fs::file_status status = fs::status(to);
  if (fs::exists(status)) {
    if (fs::is_directory(status) != directory) {
      fail(ErrorCode::invalid_argument, "{}: is {}a directory, but OUT must be {}", out.native(),
           directory ? "not " : "", directory ? "one, as IN is" : "a .safetensors file, as IN is");
    }
    const bool empty_directory = directory && fs::is_empty(to);
    if (!empty_directory && !overwrite) {
      fail(ErrorCode::invalid_argument, "{}: exists already; --overwrite replaces it", out.native());
    }
    if (directory && !empty_directory && !holds_model(to)) {
      fail(ErrorCode::invalid_argument,
           "{}: holds no model; --overwrite will not replace a directory of other things", out.native());
    }
  }
  const fs::path parent = to.parent_path();
  if (!fs::is_directory(parent)) {
    fail(ErrorCode::io, "{}: cannot be created: {} is not a directory", out.native(), parent.native());
  }
  if (access(parent.c_str(), W_OK | X_OK) != 0) fail_io(parent.native(), "write to directory", errno);
}

Written write_output(const Output& output, const fs::path& out, bool directory, const Options& options) {
  const ShardPlan plan = plan_shards(output, out, directory, options.max_shard);
  Written written{plan.names, 0};
  std::optional<Staging> staging;
  if (directory) staging.emplace(out);
  Writer writer(output, options);  // ends before the staging directory does: it may still be syncing into it
  for (std::size_t shard = 0; shard < plan.shards.size(); ++shard) {
    writer.write_shard(plan.shards[shard], directory ? staging->path() / plan.names[shard] : out);
  }
  writer.finish();
  std::map<std::string, std::string> texts = output.texts;
  if (output.finish) output.finish(texts);
  if (directory) {
    if (plan.shards.size() > 1) texts["model.safetensors.index.json"] = index_text(output, plan);
    for (const auto& [name, text] : texts) {
      write_file(staging->path() / name, text);
      written.files.push_back(name);
    }
    for (const fs::path& copy : output.copies) {
      fs::create_directories((staging->path() / copy).parent_path());
      writer.copy(output.copy_from / copy, staging->path() / copy);
      written.files.push_back(copy.native());
    }
    staging->commit();
  }
  written.peak_memory = std::max(writer.peak_memory(), anonymous_memory());
  return written;
}

}  // namespace mxfp4::job
