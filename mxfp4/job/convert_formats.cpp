#include "mxfp4/job/convert_plan_internal.h"

namespace mxfp4::job {

std::span<const ConvertFormat> other_formats() noexcept {
  static constexpr ConvertFormat kFormats[] = {{"fp8", nullptr, plan_fp8},
                                               {"nvfp4", nullptr, plan_nvfp4},
                                               {"uqff", nullptr, plan_uqff},
                                               {"uqff-0", nullptr, plan_uqff_blobs},
                                               {"gguf", ".gguf", plan_gguf}};
  return kFormats;
}

}  // namespace mxfp4::job
