// The names that say how to quantise.
#pragma once

#include <optional>
#include <string_view>

#include "mxfp4/codec/block.h"

namespace mxfp4::python {

/// The recipe of a preset, or that of the default preset under a scale rule; nonfinite: error, nan_block,
/// saturate, or preset for what the preset's origin does. Throws Error invalid_argument for unknown names,
/// and for a rule beside another preset than the default.
Recipe recipe_of(std::string_view preset, std::optional<std::string_view> scale, std::string_view nonfinite);

}  // namespace mxfp4::python
