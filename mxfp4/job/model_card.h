// README.md of a quantised model: what it is and how good it is.
#pragma once

#include <filesystem>
#include <string>

#include "mxfp4/job/quantize_job.h"

namespace mxfp4::job {

inline constexpr const char* kCardName = "README.md";

/// Markdown that depends on the result alone: no dates, times or paths. `name` is the model's.
std::string model_card(const std::string& name, const QuantizeReport& report);

/// Whether the file ends as model_card() ends one: it tells of the weights beside it, and of no others.
bool is_model_card(const std::filesystem::path& file);

}  // namespace mxfp4::job
