#include "mxfp4/cli/bench_model.h"

#include "mxfp4/cli/bench_kinds.h"

namespace mxfp4::cli {
namespace {

constexpr BenchedModel kModels[] = {
    {"gpt-oss-20b", 32, 4, 2880, 2880, true},   {"gpt-oss-120b", 128, 4, 2880, 2880, true},
    {"mixtral-8x7b", 8, 2, 4096, 14336, false}, {"qwen3-30b-a3b", 128, 8, 2048, 768, false},
    {"deepseek-v3", 256, 8, 7168, 2048, false}, {"tiny", 6, 4, 64, 96, true},
};

}  // namespace

const BenchedModel& benched_model(const std::string& name) {
  const auto* const found = std::find_if(std::begin(kModels), std::end(kModels),
                                         [&](const auto& model) { return model.name == name; });
  return found == std::end(kModels) ? kModels[0] : *found;
}

std::vector<std::string> models_of_experts() {
  std::vector<std::string> names;
  for (const BenchedModel& model : kModels) names.emplace_back(model.name);
  return names;
}

}  // namespace mxfp4::cli
