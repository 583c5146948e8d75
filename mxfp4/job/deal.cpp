#include <algorithm>
#include <numeric>
#include <thread>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/deal_internal.h"

namespace mxfp4::job {

std::vector<int> deal_shards(const std::vector<std::uint64_t>& bytes, int ranks) {
  std::vector<std::size_t> order(bytes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return bytes[a] > bytes[b]; });
  std::vector<std::uint64_t> load(static_cast<std::size_t>(ranks));
  std::vector<int> owners(bytes.size());
  for (const std::size_t shard : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += bytes[shard];
    owners[shard] = static_cast<int>(least - load.begin());
  }
  return owners;
}

std::uint64_t work_of(const Output& output, const std::vector<std::size_t>& parts) {
  std::uint64_t bytes = 0;
  for (const std::size_t part : parts) {
    bytes += output.parts[part].input_bytes;
    for (const auto& spec : output.parts[part].outputs) bytes += spec.bytes();
  }
  return bytes;
}

std::string to_note(std::size_t shard, const ShardNotes& notes) {
  return fmt::format("{} {}", shard, to_text(notes));
}

std::pair<std::size_t, ShardNotes> from_note(const std::string& note) {
  const std::size_t space = note.find(' ');
  return {std::stoull(note.substr(0, space)), notes_of(note.substr(space + 1))};
}

Listening::Listening(Team* team, std::function<void(const std::string& note)> hear)
    : team_(team != nullptr && team->rank() == 0 ? team : nullptr) {
  if (team_ != nullptr) team_->listen([hear = std::move(hear)](int, const std::string& note) { hear(note); });
}

Listening::~Listening() {
  if (team_ != nullptr) team_->listen({});
}

void warn_of_idle_ranks(const Options& options, std::size_t files) {
  if (options.team == nullptr || options.progress == nullptr) return;
  const auto ranks = static_cast<std::size_t>(options.team->size());
  if (files == 0 || files >= ranks) return;
  options.progress->warn(
      fmt::format("{} of {} ranks have nothing to write: a file is made by one rank, and there {} to make; "
                  "--max-shard makes smaller files of a model directory",
                  ranks - files, ranks, files == 1 ? "is 1" : fmt::format("are {}", files)));
}

void wait_for_file(const Team& team, const std::filesystem::path& file, std::chrono::milliseconds patience) {
  constexpr auto kPause = std::chrono::milliseconds(100);
  const auto begin = std::chrono::steady_clock::now();
  while (!std::filesystem::exists(file)) {
    team.check();
    if (std::chrono::steady_clock::now() - begin > patience) {
      fail(ErrorCode::io, "{}: rank 0 has made it, but it is not here: all ranks must see one file system",
           file.native());
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace mxfp4::job
