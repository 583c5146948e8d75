#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/file.h"
#include "mxfp4/job/journal_internal.h"

namespace mxfp4::job {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxSize = std::size_t{1} << 30;

// A field that is not written here would be lost by a resumed run.
static_assert(sizeof(ErrorStats) == (6 + 256) * 8);

Json to_json(const ErrorStats& stats) {
  Json scales = Json::object();
  for (std::size_t byte = 0; byte < stats.scales.size(); ++byte) {
    if (stats.scales[byte] > 0) scales[std::to_string(byte)] = stats.scales[byte];
  }
  // The digits of a double that are written are those that read back as the same double.
  return {{"signal", stats.signal},
          {"noise", stats.noise},
          {"elements", stats.elements},
          {"blocks", stats.blocks},
          {"lossless_blocks", stats.lossless_blocks},
          {"saturated", stats.saturated},
          {"scales", scales}};
}

ErrorStats stats_of(const Json& json) {
  ErrorStats stats;
  json.at("signal").get_to(stats.signal);
  json.at("noise").get_to(stats.noise);
  json.at("elements").get_to(stats.elements);
  json.at("blocks").get_to(stats.blocks);
  json.at("lossless_blocks").get_to(stats.lossless_blocks);
  json.at("saturated").get_to(stats.saturated);
  for (const auto& [byte, count] : json.at("scales").items()) count.get_to(stats.scales.at(std::stoul(byte)));
  return stats;
}

Json to_json(const ShardNotes& notes) {
  Json parts = Json::array();
  for (const ErrorStats& stats : notes.parts) parts.push_back(stats.elements == 0 ? Json() : to_json(stats));
  return {{"crc32c", notes.crc32c}, {"parts", std::move(parts)}};
}

ShardNotes notes_of(const Json& json) {
  ShardNotes notes;
  json.at("crc32c").get_to(notes.crc32c);
  for (const Json& part : json.at("parts"))
    notes.parts.push_back(part.is_null() ? ErrorStats() : stats_of(part));
  return notes;
}

}  // namespace

std::string to_text(const ShardNotes& notes) {
  return to_json(notes).dump();
}

ShardNotes notes_of(const std::string& text) {
  return notes_of(Json::parse(text));
}

Journal::Journal(const std::filesystem::path& directory) : path_(directory / kName) {
  try {
    const Json json = Json::parse(read_file(path_, kMaxSize));
    Traits traits = json.at("traits").get<Traits>();
    for (const auto& [shard, written] : json.at("finished").items()) finished_[shard] = notes_of(written);
    traits_ = std::move(traits);
  } catch (const std::exception&) {  // none there, or not of this program's making: then nothing was begun
    finished_.clear();
  }
}

void Journal::check_same(const Traits& traits) const {
  const auto [now, before] = std::mismatch(traits.begin(), traits.end(), traits_.begin(), traits_.end());
  if (now == traits.end() && before == traits_.end()) return;
  const auto told = [](Traits::const_iterator trait, Traits::const_iterator end) {
    return trait == end ? "nothing more" : fmt::format("{}: {}", trait->first, trait->second);
  };
  fail(ErrorCode::invalid_argument,
       "--resume: {} was begun otherwise: with {}, but this is {}; without --resume everything is made anew",
       path_.parent_path().native(), told(before, traits_.end()), told(now, traits.end()));
}

void Journal::begin(Traits traits) {
  traits_ = std::move(traits);
  finished_.clear();
  write();
}

void Journal::record(const std::string& shard, ShardNotes notes) {
  finished_[shard] = std::move(notes);
  write();
}

void Journal::write() const {
  Json finished = Json::object();
  for (const auto& [shard, notes] : finished_) finished[shard] = to_json(notes);
  write_file(path_, Json{{"traits", traits_}, {"finished", finished}}.dump());
}

}  // namespace mxfp4::job
