#include <nlohmann/json.hpp>

#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {
namespace {

// mlx-lm quantises a module of its model if the file has scales for it: no list is needed. It writes the same
// under two keys, and reads the first.
std::map<std::string, std::string> texts(const ConfigRequest& request) {
  const std::string quantization =
      nlohmann::ordered_json{{"group_size", 32}, {"bits", 4}, {"mode", "mxfp4"}}.dump();
  std::map<std::string, std::string> texts = config_with(request, quantization);
  std::string& config = texts["config.json"];
  config = with_member(config, "quantization", quantization);
  return texts;
}

}  // namespace

Convention mlx_convention() noexcept {
  return {"mlx",
          ".weight",
          ".scales",
          Dtype::u32,
          Dtype::u8,
          CodeShape::words,
          ExpertLayout::apart,
          false,
          "mlx",
          nullptr,
          texts,
          "any module of a model, as mlx-lm loads it"};
}

}  // namespace mxfp4
