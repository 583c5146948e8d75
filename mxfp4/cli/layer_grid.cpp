#include "mxfp4/cli/layer_grid.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>

namespace mxfp4::cli {
namespace {

constexpr std::size_t kMostDigits = 9;

bool is_number(std::string_view part) noexcept {
  return !part.empty() && part.size() <= kMostDigits &&
         part.find_first_not_of("0123456789") == std::string_view::npos;
}

// What stands behind the layer's number.
std::string_view behind_layer(std::string_view kind) noexcept {
  const std::size_t star = kind.find("*.");
  return star == std::string_view::npos ? kind : kind.substr(star + 2);
}

// Kinds are told apart by what follows the layer, unless that names two of them.
void label(std::vector<Kind>& kinds) {
  std::unordered_map<std::string_view, int> uses;
  for (const Kind& kind : kinds) ++uses[behind_layer(kind.name)];
  for (Kind& kind : kinds) {
    const std::string_view tail = behind_layer(kind.name);
    kind.label = uses[tail] > 1 ? kind.name : std::string(tail);
  }
}

}  // namespace

Place place_of(std::string_view name) {
  constexpr std::string_view kSuffix = ".weight";
  if (name.size() > kSuffix.size() && name.ends_with(kSuffix)) name.remove_suffix(kSuffix.size());
  Place place;
  while (true) {
    const std::size_t dot = name.find('.');
    const std::string_view part = name.substr(0, dot);
    if (is_number(part)) {
      if (place.layer == kNoLayer) std::from_chars(part.data(), part.data() + part.size(), place.layer);
      place.kind += '*';
    } else {
      place.kind += part;
    }
    if (dot == std::string_view::npos) return place;
    place.kind += '.';
    name.remove_prefix(dot + 1);
  }
}

LayerGrid layer_grid(const std::vector<job::ReportedWeight>& weights) {
  LayerGrid grid;
  std::unordered_map<std::string, std::size_t> index;
  std::set<std::int64_t> layers;
  for (const job::ReportedWeight& weight : weights) {
    Place place = place_of(weight.name);
    const auto [found, added] = index.emplace(place.kind, grid.kinds.size());
    if (added) grid.kinds.push_back({place.kind, {}, {}, {}});
    Kind& kind = grid.kinds[found->second];
    kind.layers[place.layer].add(weight.numbers);
    kind.total.add(weight.numbers);
    if (place.layer != kNoLayer) layers.insert(place.layer);
  }
  grid.layers.assign(layers.begin(), layers.end());
  std::stable_partition(grid.kinds.begin(), grid.kinds.end(),
                        [](const Kind& kind) { return kind.layers.count(kNoLayer) == 0; });
  label(grid.kinds);
  return grid;
}

}  // namespace mxfp4::cli
