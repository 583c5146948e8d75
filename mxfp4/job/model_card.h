// README.md of a quantised model: what it is and how good it is.
#pragma once

#include <string>

#include "mxfp4/job/quantize_job.h"

namespace mxfp4::job {

/// Markdown that depends on the result alone: no dates, times or paths. `name` is the model's.
std::string model_card(const std::string& name, const QuantizeReport& report);

}  // namespace mxfp4::job
