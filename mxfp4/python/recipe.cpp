#include <string>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/python/recipe_internal.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::python {
namespace {

std::string names_of(const auto& table) {
  std::string names;
  for (const auto& entry : table) names += std::string(names.empty() ? "" : ", ") + entry.name;
  return names;
}

}  // namespace

Recipe recipe_of(std::string_view preset, std::optional<std::string_view> scale, std::string_view nonfinite) {
  const Preset* const found = find_preset(preset);
  if (found == nullptr) {
    fail(ErrorCode::invalid_argument, "no preset '{}'; there are {}", preset, names_of(presets()));
  }
  Recipe recipe = found->recipe;
  if (scale) {
    if (found != &presets().front()) {
      fail(ErrorCode::invalid_argument, "preset '{}' has its own scale rule: scale='{}' excludes it", preset,
           *scale);
    }
    const std::optional<ScaleRule> rule = parse_scale_rule(*scale);
    if (!rule) {
      fail(ErrorCode::invalid_argument, "no scale rule '{}'; there are {}", *scale, names_of(kScaleRules));
    }
    recipe.scale = *rule;
  }
  if (nonfinite != "preset") {
    const std::optional<NonFinite> policy = parse_nonfinite(nonfinite);
    if (!policy) {
      fail(ErrorCode::invalid_argument,
           "no policy '{}' for NaN and infinity; there are error, nan_block, saturate, preset", nonfinite);
    }
    recipe.nonfinite = *policy;
  }
  return recipe;
}

}  // namespace mxfp4::python
