#include "mxfp4/job/convert_plan_internal.h"

namespace mxfp4::job {

std::span<const ConvertFormat> other_formats() noexcept {
  return {};
}

}  // namespace mxfp4::job
