#include <nlohmann/json.hpp>

#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::ordered_json;

// What Quark 0.13 writes of weights alone: readers look at dtype, group_size, scale_format and exclude.
std::map<std::string, std::string> texts(const ConfigRequest& request) {
  const Json weight = {{"block_size", nullptr},
                       {"ch_axis", -1},
                       {"dtype", "fp4"},
                       {"enable_buffer_reuse", false},
                       {"group_size", 32},
                       {"is_dynamic", false},
                       {"is_scale_quant", false},
                       {"max_input_numel", 4194304},
                       {"mx_element_dtype", nullptr},
                       {"observer_cls", "PerBlockMXObserver"},
                       {"qscheme", "per_group"},
                       {"round_method", "half_even"},
                       {"scale_calculation_mode", "even"},
                       {"scale_format", "e8m0"},
                       {"scale_type", "float"},
                       {"symmetric", nullptr},
                       {"zero_point_type", "int32"}};
  const Json global = {{"bias", nullptr},
                       {"input_tensors", nullptr},
                       {"output_tensors", nullptr},
                       {"target_device", nullptr},
                       {"weight", weight}};
  const Json written = {{"kv_cache_group", Json::array()},
                        {"min_kv_scale", 0.0},
                        {"pack_method", "reorder"},
                        {"weight_format", "real_quantized"},
                        {"weight_merge_groups", nullptr}};
  const Json config = {{"algo_config", nullptr},
                       {"exclude", request.left_alone},
                       {"export", written},
                       {"global_quant_config", global},
                       {"kv_cache_post_rope", false},
                       {"kv_cache_quant_config", Json::object()},
                       {"layer_quant_config", Json::object()},
                       {"layer_type_quant_config", Json::object()},
                       {"quant_method", "quark"},
                       {"quant_mode", "eager_mode"},
                       {"softmax_quant_spec", nullptr},
                       {"version", "0.13"}};
  return config_with(request, config.dump());
}

}  // namespace

Convention quark_convention() noexcept {
  return {"quark",
          ".weight",
          ".weight_scale",
          Dtype::u8,
          Dtype::u8,
          CodeShape::bytes,
          ExpertLayout::single,
          false,
          "quark",
          nullptr,
          texts,
          "matrices of Linear layers, as AMD Quark writes them"};
}

}  // namespace mxfp4
