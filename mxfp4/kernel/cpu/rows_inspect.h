// What a layer asks about a weight that it uses where it lies.
#pragma once

#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {

/// The same on every machine.
RowsInfo inspect_rows(const InspectRowsArgs& args) noexcept;

}  // namespace mxfp4::kernel
