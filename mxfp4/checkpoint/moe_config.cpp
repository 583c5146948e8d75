#include "mxfp4/checkpoint/moe_config.h"

#include <optional>
#include <string>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/json_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::json;
using Score = MoeConfig::Score;

/// What a family's own code does where config.json is silent.
struct Family {
  const char* model_type;
  Score score;
  bool renormalize;   ///< or what "norm_topk_prob" says, if that is `asked`
  bool asked;         ///< whether the family has that field
  float alpha, beta;  ///< of its gated unit
  float limit;        ///< 0: none
};
constexpr Family kFamilies[] = {
    {"gpt_oss", Score::softmax, true, false, 1.702f, 1, 7},
    {"mixtral", Score::softmax, true, false, 1, 0, 0},
    {"qwen2_moe", Score::softmax, false, true, 1, 0, 0},
    {"qwen3_moe", Score::softmax, false, true, 1, 0, 0},
    {"deepseek_v3", Score::sigmoid, true, true, 1, 0, 0},
    {"deepseek_v4", Score::sqrt_softplus, true, true, 1, 0, 10},
};

class Reader {
 public:
  Reader(const Json& object, std::string_view where) : object_(object), where_(where) {}

  std::optional<double> number(const char* name) const {
    const auto found = object_.find(name);
    if (found == object_.end() || found->is_null()) return std::nullopt;
    if (!found->is_number()) wrong(name, *found, "a number");
    return found->get<double>();
  }
  std::optional<int> count(const char* name) const {
    const std::optional<double> value = number(name);
    constexpr double kMost = 1 << 20;
    if (!value) return std::nullopt;
    if (*value < 1 || *value > kMost || *value != static_cast<double>(static_cast<int>(*value))) {
      fail(ErrorCode::corrupt_file, "{}: '{}' is {}, not a number of experts or groups", where_, name,
           *value);
    }
    return static_cast<int>(*value);
  }
  bool flag(const char* name, bool otherwise) const {
    const auto found = object_.find(name);
    if (found == object_.end() || found->is_null()) return otherwise;
    if (!found->is_boolean()) wrong(name, *found, "true or false");
    return found->get<bool>();
  }
  std::string text(const char* name, const char* otherwise) const {
    const auto found = object_.find(name);
    if (found == object_.end() || found->is_null()) return otherwise;
    if (!found->is_string()) wrong(name, *found, "a string");
    return found->get<std::string>();
  }

 private:
  [[noreturn]] void wrong(const char* name, const Json& value, const char* expected) const {
    fail(ErrorCode::corrupt_file, "{}: '{}' is {}, not {}", where_, name, shown(value), expected);
  }

  const Json& object_;
  std::string_view where_;
};

const Family& family_of(const std::string& model_type, std::string_view where) {
  for (const Family& family : kFamilies) {
    if (model_type == family.model_type) return family;
  }
  fail(ErrorCode::unsupported, "{}: how the experts of model_type '{}' compute is not known here", where,
       model_type);
}

}  // namespace

MoeConfig parse_moe_config(std::string_view text, std::string_view where, bool gpt_oss) {
  Json root = text.empty() ? Json::object() : parse_json(text, where);
  if (!root.is_object()) fail(ErrorCode::corrupt_file, "{}: is not a JSON object", where);
  const auto nested = root.find("text_config");
  const Json object = nested != root.end() && nested->is_object() ? *nested : root;
  const Reader reader(object, where);
  const Family& family = family_of(gpt_oss ? "gpt_oss" : reader.text("model_type", ""), where);
  if (const std::string unit = reader.text("hidden_act", "silu"); unit != "silu") {
    fail(ErrorCode::unsupported, "{}: 'hidden_act' is '{}'; silu can be", where, unit);
  }
  MoeConfig config;
  std::optional<int> top_k = reader.count("num_experts_per_tok");
  if (!top_k) top_k = reader.count("experts_per_token");
  if (!top_k) fail(ErrorCode::corrupt_file, "{}: 'num_experts_per_tok' is missing", where);
  config.top_k = *top_k;
  config.score = family.score;
  config.renormalize = family.asked ? reader.flag("norm_topk_prob", family.renormalize) : family.renormalize;
  config.factor = static_cast<float>(reader.number("routed_scaling_factor").value_or(1));
  config.groups = reader.count("n_group").value_or(1);
  config.top_groups = reader.count("topk_group").value_or(1);
  config.shared = reader.number("n_shared_experts").value_or(0) > 0 ||
                  reader.number("shared_expert_intermediate_size").value_or(0) > 0;
  config.alpha =
      static_cast<float>(reader.number("swiglu_alpha").value_or(static_cast<double>(family.alpha)));
  config.beta = family.beta;
  const double limit = reader.number("swiglu_limit").value_or(static_cast<double>(family.limit));
  if (limit > 0) config.limit = static_cast<float>(limit);
  return config;
}

}  // namespace mxfp4
