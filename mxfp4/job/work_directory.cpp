#include <system_error>

#include "mxfp4/base/crc32c.h"
#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/file.h"
#include "mxfp4/job/pass_internal.h"
#include "mxfp4/job/team.h"
#include "mxfp4/job/work_directory_internal.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

// Raise it whenever the same request makes other bytes than before.
constexpr const char* kBytesVersion = "1";

void warn(const Options& options, const std::string& message) {
  if (options.progress != nullptr) options.progress->warn(message);
}

// In what a shard is not the one that was written; empty if it is. Throws Error io where it cannot be read.
std::string fault_of(const fs::path& path, std::uint64_t size, std::uint32_t crc32c, const Options& options) {
  const MappedFile file(path);
  if (file.bytes().size() != size) return fmt::format("has {} bytes, not {}", file.bytes().size(), size);
  FileCrc32c sum(size);
  Pass pass(options.threads, nullptr, options.stop);
  const std::vector<Chunk> chunks = chunks_of({size});
  pass.run(chunks.size(), [&](int, std::size_t index) -> std::uint64_t {
    if (options.team != nullptr) options.team->advance(0);
    const std::span<const std::byte> bytes = file.bytes().subspan(chunks[index].begin, chunks[index].size);
    sum.add(chunks[index].begin, bytes);
    file.done_with(bytes);
    return bytes.size();
  });
  file.check_unchanged();
  if (sum.value() == crc32c) return "";
  return fmt::format("was changed after it was written: its CRC-32C is {:08x}, not {:08x}", sum.value(),
                     crc32c);
}

}  // namespace

Traits all_traits(const Output& output, const Options& options) {
  Traits traits = {{"version of the bytes", kBytesVersion},
                   {"--max-shard", std::to_string(options.max_shard)}};
  for (const MappedFile* const input : output.inputs) {
    traits.emplace_back(fmt::format("{:?}", input->path().filename().native()), to_string(input->stamp()));
  }
  for (const fs::path& copy : output.copies) {
    traits.emplace_back(fmt::format("{:?}", copy.native()), to_string(stamp_of(output.copy_from / copy)));
  }
  traits.insert(traits.end(), output.traits.begin(), output.traits.end());
  return traits;
}

WorkDirectory::WorkDirectory(const fs::path& out, const Output& output, const ShardPlan& plan,
                             const Options& options)
    : output_(output), plan_(plan), options_(options), staging_(out), journal_(staging_.path()) {
  Traits traits = all_traits(output, options);
  if (options.resume && journal_.begun()) {
    staging_.keep(true);
    journal_.check_same(traits);
    clear_unfinished();
    return;
  }
  if (!journal_.finished().empty()) {
    warn(options,
         fmt::format("{}: {} finished shards of an earlier run are made anew; --resume would keep them",
                     path().native(), journal_.finished().size()));
  } else if (options.resume && fs::exists(journal_.path())) {
    warn(options, fmt::format("{}: cannot be read, so everything is made anew", journal_.path().native()));
  }
  for (const auto& entry : fs::directory_iterator(path())) fs::remove_all(entry.path());
  journal_.begin(std::move(traits));
}

void WorkDirectory::clear_unfinished() {
  for (const auto& entry : fs::directory_iterator(path())) {
    if (entry.path() == journal_.path()) continue;
    // A link or a directory under the name of a finished shard is none of ours.
    const bool finished = journal_.finished().count(entry.path().filename().native()) > 0 &&
                          fs::is_regular_file(entry.symlink_status());
    if (!finished) fs::remove_all(entry.path());
  }
}

bool WorkDirectory::restore(std::size_t shard) {
  const auto found = journal_.finished().find(plan_.names[shard]);
  if (found == journal_.finished().end()) return false;
  const ShardNotes& notes = found->second;
  const std::vector<std::size_t>& parts = plan_.shards[shard];
  const safetensors::Layout layout = output_.layout(specs_of(output_, parts), output_.metadata);
  const fs::path file = path() / found->first;
  const auto made_anew = [&](const std::string& reason) {
    warn(options_, fmt::format("{}; it is made anew", reason));
    return false;
  };
  if (notes.parts.size() != parts.size()) {
    return made_anew(fmt::format("{}: {} tensors of it are noted, not {}", file.native(), notes.parts.size(),
                                 parts.size()));
  }
  try {
    const std::string fault = fault_of(file, layout.size, notes.crc32c, options_);
    if (!fault.empty()) return made_anew(fmt::format("{}: {}", file.native(), fault));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::io) throw;
    return made_anew(error.what());
  }
  take_statistics(output_, parts, notes);
  return true;
}

void WorkDirectory::record(std::size_t shard, ShardNotes notes) {
  const std::lock_guard lock(mutex_);
  journal_.record(plan_.names[shard], std::move(notes));
}

bool WorkDirectory::keep_after(ErrorCode code) {
  // What lies in the input or the request must be changed, and then the shards are of no use.
  const bool passing =
      code == ErrorCode::interrupted || code == ErrorCode::io || code == ErrorCode::out_of_memory;
  staging_.keep(passing && !journal_.finished().empty());
  return passing && !journal_.finished().empty();
}

std::string WorkDirectory::kept_message(bool doubtful) const {
  if (doubtful) {
    return fmt::format("it stays in {}: --resume makes the shards anew that were damaged there, if any",
                       path().native());
  }
  return fmt::format("{} of {} shards are whole in {}: --resume goes on from there",
                     journal_.finished().size(), plan_.shards.size(), path().native());
}

void WorkDirectory::commit() {
  fs::remove(journal_.path());
  staging_.commit(options_.overwrite);
}

ShardNotes notes_of_shard(const Output& output, const std::vector<std::size_t>& parts, std::uint32_t crc32c) {
  ShardNotes notes{crc32c, {}};
  for (const std::size_t part : parts) {
    const auto& stats = output.parts[part].stats;
    notes.parts.push_back(stats == nullptr ? ErrorStats() : stats->total());
  }
  return notes;
}

void take_statistics(const Output& output, const std::vector<std::size_t>& parts, const ShardNotes& notes) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (output.parts[parts[i]].stats != nullptr) output.parts[parts[i]].stats->record(0, notes.parts[i]);
  }
}

std::uint64_t bytes_left_by_earlier_run(const fs::path& out) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator it(staging_path(out), error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    const std::uint64_t size = it->is_regular_file(ignored) ? it->file_size(ignored) : 0;
    if (!ignored) bytes += size;
  }
  return bytes;
}

}  // namespace mxfp4::job
