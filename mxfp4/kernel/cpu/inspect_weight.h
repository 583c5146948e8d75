// What a layer asks about a weight before it is used.
#pragma once

#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {

// The same on every machine.
bool inspect_rows(const InspectRowsArgs& args) noexcept;
float add_spread(const SpreadArgs& args) noexcept;

}  // namespace mxfp4::kernel
