#include "mxfp4/checkpoint/expectations_internal.h"
#include "mxfp4/checkpoint/module_list.h"
#include "mxfp4/checkpoint/report_internal.h"
#include "mxfp4/checkpoint/selection.h"

namespace mxfp4 {
namespace {

// "compressed-tensors (mxfp4-pack-quantized)"
std::string told(const ModelConfig& config) {
  if (config.quant_method.empty()) return "no quantization_config";
  return config.quant_format.empty() ? config.quant_method
                                     : fmt::format("{} ({})", config.quant_method, config.quant_format);
}

// Modules that are left alone, against the list of them. That a Linear layer is missing there can be told of
// compressed-tensors only, and only where the name leaves no doubt that it is one.
void check_left_alone(const Checkpoint& checkpoint, Problems& problems) {
  const ModelConfig& config = checkpoint.config;
  const bool lists_all = config.quant_method == "compressed-tensors";
  const auto tell = [&](const Weight& weight, const char* what, const char* listed) {
    report(&problems, ProblemKind::config, weight.stored->name,
           "{}: tensor '{}' is {}, but config.json {} '{}' among the modules left alone",
           checkpoint.files.file_of(*weight.stored), weight.stored->name, what, listed, weight.module());
  };
  try {
    const ModuleList list(config.quant_method, config.left_alone.value_or(std::vector<std::string>()));
    for (const Weight& weight : checkpoint.weights) {
      if (weight.is_quantized() && list.contains(weight.module())) {
        tell(weight, "quantised", "lists");
      } else if (lists_all && !weight.is_quantized() && weight.module().ends_with("_proj") &&
                 is_linear_weight(weight) && !list.contains(weight.module())) {
        tell(weight, "not quantised", "does not list");
      }
    }
  } catch (const Error& error) {
    report(&problems, ProblemKind::config, "", "config.json: {}", error.what());
  }
}

}  // namespace

void check_quantization_config(const Checkpoint& checkpoint, Problems& problems) {
  const ModelConfig& config = checkpoint.config;
  if (checkpoint.files.config.empty() || !checkpoint.foreign.empty()) return;
  if (!checkpoint.has_quantized) {
    if (config.quant_method.empty() || !checkpoint.other_format.empty()) return;
    report(&problems, ProblemKind::config, "",
           "config.json says that weights are quantised as {}, but no tensor is", told(config));
    return;
  }
  const Convention& convention = *checkpoint.convention;
  if (convention.quant_method == nullptr) return;
  const std::string method = convention.quant_method,
                    format = convention.quant_format != nullptr ? convention.quant_format : "";
  if (config.quant_method != method || (!format.empty() && config.quant_format != format)) {
    report(&problems, ProblemKind::config, "",
           "weights are stored as {}, so config.json should say {}{}; it says {}", convention.name, method,
           format.empty() ? "" : " (" + format + ")", told(config));
    return;
  }
  check_left_alone(checkpoint, problems);
}

void check_expectations(const Checkpoint& checkpoint, Problems& problems) {
  if (!checkpoint.files.is_directory && checkpoint.files.config.empty()) return;
  check_completeness(checkpoint, problems);
  check_numbering(checkpoint, problems);
  check_parameters(checkpoint, problems);
  check_quantization_config(checkpoint, problems);
}

}  // namespace mxfp4
