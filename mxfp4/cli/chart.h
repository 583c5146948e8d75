// Bar charts.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "mxfp4/cli/console.h"

namespace mxfp4::cli {

/// How often each scale byte stands, as horizontal bars with the scale's value, the byte and the share.
/// Neighbours are taken together where there would be too many lines. Empty if nothing was counted.
std::string scale_chart(std::span<const std::uint64_t, 256> counts, const Screen& screen, int indent);

}  // namespace mxfp4::cli
