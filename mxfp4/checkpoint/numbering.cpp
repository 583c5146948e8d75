#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "mxfp4/checkpoint/expectations_internal.h"
#include "mxfp4/checkpoint/report_internal.h"

namespace mxfp4 {
namespace {

// Modules of one kind in a row, "model.layers" -> 0, 1, 2.
struct Row {
  std::set<std::int64_t> numbers;
  bool experts = false;
};
using Rows = std::map<std::string, Row, decltype(&natural_less)>;

constexpr std::string_view kLayerWords[] = {"layers", "layer", "h", "block", "blocks"};

constexpr std::int64_t kMost = std::int64_t{1} << 31;  // a larger number counts nothing

bool is_layer_word(std::string_view word) {
  return std::find(std::begin(kLayerWords), std::end(kLayerWords), word) != std::end(kLayerWords);
}

// The layers that the config counts: of the language model, or of the only row there is.
bool is_counted(const std::string& prefix, const Rows& rows) {
  const auto is_layers = [](const auto& entry) { return !entry.second.experts; };
  for (const char* const known : {"model.layers", "block"}) {
    if (rows.find(known) != rows.end()) return prefix == known;
  }
  return std::count_if(rows.begin(), rows.end(), is_layers) == 1;
}

void report_run(Problems& problems, ProblemKind kind, const std::string& prefix, std::int64_t first,
                std::int64_t last, const std::string& reason) {
  const std::string numbers =
      first == last ? fmt::format("{} is", first) : fmt::format("{} to {} are", first, last);
  report(&problems, kind, "", "{}.{} {}; {}", prefix, numbers,
         kind == ProblemKind::missing ? "missing" : "too many", reason);
}

}  // namespace

std::vector<Numbered> numbered(std::string_view name) {
  std::vector<Numbered> found;
  std::string_view word;
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    std::int64_t number = 0;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool is_number =
        error == std::errc() && rest == part.data() + part.size() && number >= 0 && number <= kMost;
    const bool experts = word == "experts";
    if (is_number && end < name.size() && (experts || (found.empty() && is_layer_word(word)))) {
      found.push_back({begin - 1, number, end + 1, experts});
      if (experts) break;
    }
    word = part;
    begin = end + 1;
  }
  return found;
}

void check_numbering(const Checkpoint& checkpoint, Problems& problems) {
  const ModelConfig& config = checkpoint.config;
  Rows rows(&natural_less);
  for (const StoredTensor* const tensor : checkpoint.files.tensors()) {
    for (const Numbered& part : numbered(tensor->name)) {
      Row& row = rows[tensor->name.substr(0, part.prefix)];
      row.numbers.insert(part.number);
      row.experts = part.experts;
    }
  }
  for (const auto& [prefix, row] : rows) {
    const bool counted = row.experts || is_counted(prefix, rows);
    const std::optional<std::int64_t> told = !counted      ? std::nullopt
                                             : row.experts ? config.experts
                                                           : config.layers;
    const std::int64_t highest = *row.numbers.rbegin();
    const std::int64_t end = told.value_or(highest + 1);
    const std::int64_t most = end + (row.experts ? 0 : config.draft_layers.value_or(0));
    const std::string reason = told ? fmt::format("config.json says that there are {}", *told)
                                    : fmt::format("the numbers go up to {}", highest);
    std::int64_t next = 0;
    for (const std::int64_t number : row.numbers) {
      if (number >= end) break;
      if (number > next) report_run(problems, ProblemKind::missing, prefix, next, number - 1, reason);
      next = number + 1;
    }
    if (next < end) report_run(problems, ProblemKind::missing, prefix, next, end - 1, reason);
    const auto beyond = row.numbers.lower_bound(most);
    if (beyond != row.numbers.end())
      report_run(problems, ProblemKind::extra, prefix, *beyond, highest, reason);
  }
}

}  // namespace mxfp4
