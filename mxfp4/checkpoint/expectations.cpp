#include <nlohmann/json.hpp>

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

// Modules that the config says are dense.
void check_left_alone(const Checkpoint& checkpoint, Problems& problems) {
  const ModelConfig& config = checkpoint.config;
  if (!config.left_alone) return;
  try {
    const ModuleList list(config.quant_method, *config.left_alone);
    for (const Weight& weight : checkpoint.weights) {
      if (!weight.is_quantized() || !list.contains(weight.module())) continue;
      report(&problems, ProblemKind::config, weight.stored->name,
             "{}: tensor '{}' is quantised, but config.json lists '{}' among the modules left alone",
             checkpoint.files.file_of(*weight.stored), weight.stored->name, weight.module());
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
    if (config.quant_method.empty()) return;
    report(&problems, ProblemKind::config, "",
           "config.json says that weights are quantised as {}, but no tensor is", told(config));
    return;
  }
  const Convention& convention = *checkpoint.convention;
  if (convention.quantization_config == nullptr) return;
  const nlohmann::json expected = nlohmann::json::parse(convention.quantization_config({}));
  const std::string method = expected.value("quant_method", ""), format = expected.value("format", "");
  if (config.quant_method != method || (!format.empty() && config.quant_format != format)) {
    report(&problems, ProblemKind::config, "",
           "weights are stored as {}, so config.json should say {}{}; it says {}", convention.name, method,
           format.empty() ? "" : " (" + format + ")", told(config));
    return;
  }
  check_left_alone(checkpoint, problems);
}

void check_expectations(const Checkpoint& checkpoint, Problems& problems) {
  if (!checkpoint.files.is_directory) return;
  check_numbering(checkpoint, problems);
  check_parameters(checkpoint, problems);
  check_quantization_config(checkpoint, problems);
}

}  // namespace mxfp4
