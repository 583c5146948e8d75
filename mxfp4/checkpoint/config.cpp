#include "mxfp4/checkpoint/config.h"

#include <algorithm>
#include <initializer_list>

#include "mxfp4/checkpoint/json_internal.h"
#include "mxfp4/checkpoint/report_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMaxSize = std::int64_t{1} << 31;

// One JSON object of the file and its name for messages.
class Fields {
 public:
  Fields(const Json& object, std::string where, Problems* problems)
      : object_(&object), where_(std::move(where)), problems_(problems) {}

  // The field, or null if it is absent or null.
  const Json* find(const char* name) const {
    const auto found = object_->find(name);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }

  std::optional<Fields> object(const char* name) const {
    const Json* const value = accepted(name, "an object", [](const Json& v) { return v.is_object(); });
    if (value == nullptr) return std::nullopt;
    return Fields(*value, where_ + ": " + name, problems_);
  }

  std::string text(const char* name) const {
    const Json* const value = accepted(name, "a string", [](const Json& v) { return v.is_string(); });
    return value == nullptr ? "" : value->get<std::string>();
  }

  bool flag(const char* name) const {
    const Json* const value = accepted(name, "true or false", [](const Json& v) { return v.is_boolean(); });
    return value != nullptr && value->get<bool>();
  }

  std::optional<std::vector<std::string>> texts(const char* name) const {
    const auto is_string = [](const Json& entry) { return entry.is_string(); };
    const auto is_list = [&](const Json& v) {
      return v.is_array() && std::all_of(v.begin(), v.end(), is_string);
    };
    const Json* const value = accepted(name, "a list of strings", is_list);
    if (value == nullptr) return std::nullopt;
    return value->get<std::vector<std::string>>();
  }

  // The first of the names that is there. A list of sizes, one for each layer, says nothing about the model
  // as a whole: it counts as absent.
  std::optional<std::int64_t> size(std::initializer_list<const char*> names) const {
    for (const char* const name : names) {
      const Json* const value = find(name);
      if (value == nullptr) continue;
      if (value->is_array() && std::all_of(value->begin(), value->end(), is_size)) return std::nullopt;
      if (accepted(name, "a size", is_size) != nullptr) return value->get<std::int64_t>();
    }
    return std::nullopt;
  }

  // Objects among the fields: MLX's modules that have a mode of their own.
  void read_mlx_modules(std::map<std::string, MlxModule, std::less<>>& modules) const {
    for (const auto& [name, value] : object_->items()) {
      if (!value.is_object()) continue;
      const Fields module(value, where_ + ": " + name, problems_);
      const std::optional<std::int64_t> group = module.size({"group_size"}), bits = module.size({"bits"});
      if (group && bits) modules[name] = {*group, *bits};
    }
  }

 private:
  // The field if it is there and `fits` it; otherwise null, and one that does not fit is reported.
  template <class Fits>
  const Json* accepted(const char* name, const char* expected, const Fits& fits) const {
    const Json* const value = find(name);
    if (value == nullptr || fits(*value)) return value;
    report(problems_, ProblemKind::config, "", "{}: '{}' is {}, not {}", where_, name, shown(*value),
           expected);
    return nullptr;
  }

  static bool is_size(const Json& value) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() <= kMaxSize;
  }

  const Json* object_;
  std::string where_;
  Problems* problems_;
};

std::optional<Dtype> torch_dtype(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  if (name == "bfloat16") return Dtype::bf16;
  if (name == "float16" || name == "half") return Dtype::f16;
  if (name == "float32" || name == "float") return Dtype::f32;
  return std::nullopt;
}

void read_sizes(const Fields& fields, ModelConfig& config) {
  const auto read = [&](std::optional<std::int64_t>& size, std::initializer_list<const char*> names) {
    const std::optional<std::int64_t> found = fields.size(names);
    if (!size) size = found;
  };
  read(config.hidden_size, {"hidden_size", "n_embd", "d_model"});
  read(config.intermediate_size, {"intermediate_size"});
  read(config.layers, {"num_hidden_layers", "n_layer", "num_layers"});
  read(config.experts, {"num_local_experts", "num_experts", "n_routed_experts"});
  read(config.vocabulary, {"vocab_size"});
  read(config.draft_layers, {"num_nextn_predict_layers"});
  if (!config.dtype) {
    const std::string dtype = fields.text("dtype");
    config.dtype = torch_dtype(dtype.empty() ? fields.text("torch_dtype") : dtype);
  }
}

// A list with as many values as there are layers is taken for one of a value per layer.
void read_lists(const Json& object, ModelConfig& config) {
  if (!config.layers) return;
  const auto layers = static_cast<std::uint64_t>(*config.layers);
  const auto drafts = static_cast<std::uint64_t>(config.draft_layers.value_or(0));
  for (const Json& member : object) {
    if (!member.is_array() || (member.size() != layers && member.size() != layers + drafts)) continue;
    std::vector<std::string>& list = config.per_layer.emplace_back();
    for (const Json& value : member) list.push_back(value.dump());
  }
}

// Where a project keeps its list of modules to leave alone.
struct ListField {
  const char* method;  // empty: every other
  const char* field;
};
constexpr ListField kListFields[] = {
    {"mxfp4", "modules_to_not_convert"},
    {"compressed-tensors", "ignore"},
    {"modelopt", "ignore"},
    {"modelopt", "exclude_modules"},
    {"quark", "exclude"},
    {"", "ignored_layers"},
    {"", "modules_to_not_convert"},
    {"", "ignore"},
};

// The method of a quantization_config without quant_method, as older writers left it.
std::string unnamed_method(const Fields& fields) {
  if (fields.find("quant_algo") != nullptr) return "modelopt";
  if (fields.find("group_size") != nullptr && fields.find("bits") != nullptr) return "mlx";
  if (fields.find("load_in_4bit") != nullptr || fields.find("load_in_8bit") != nullptr) return "bitsandbytes";
  return "unknown";
}

void read_quantization(const Fields& fields, ModelConfig& config) {
  std::string& method = config.quant_method;
  method = fields.text("quant_method");
  if (method.empty()) method = unnamed_method(fields);
  for (const char* const name : {"format", "quant_algo", "mode"}) {
    if (config.quant_format.empty()) config.quant_format = fields.text(name);
  }
  if (method == "mlx") fields.read_mlx_modules(config.mlx_modules);
  const bool listed = std::any_of(std::begin(kListFields), std::end(kListFields),
                                  [&](auto& row) { return method == row.method; });
  for (const ListField& row : kListFields) {
    if (row.method == (listed ? std::string_view(method) : "") && !config.left_alone) {
      config.left_alone = fields.texts(row.field);
    }
  }
}

}  // namespace

bool ModelConfig::is_gpt_oss() const {
  return model_type == "gpt_oss" ||
         std::find(architectures.begin(), architectures.end(), "GptOssForCausalLM") != architectures.end();
}

ModelConfig parse_config(std::string_view text, std::string_view where, Problems* problems) {
  ModelConfig config;
  if (text.empty()) return config;
  const Json root = parse_json(text, where);
  if (!root.is_object()) fail(ErrorCode::corrupt_file, "{}: is not a JSON object", where);
  const Fields top(root, std::string(where), problems);
  const std::optional<Fields> nested = top.object("text_config");

  config.model_type = top.text("model_type");
  config.architectures = top.texts("architectures").value_or(std::vector<std::string>());
  config.tied_embeddings = top.flag("tie_word_embeddings") || (nested && nested->flag("tie_word_embeddings"));
  read_sizes(top, config);
  if (nested) read_sizes(*nested, config);
  config.decoder_type = nested ? nested->text("model_type") : "";
  if (config.decoder_type.empty()) config.decoder_type = config.model_type;
  read_lists(root, config);
  if (nested) read_lists(root.at("text_config"), config);

  // MLX writes its dict under both names; older compressed-tensors had one of their own.
  for (const std::optional<Fields>& fields : {std::optional(top), nested}) {
    for (const char* const name : {"quantization_config", "compression_config", "quantization"}) {
      if (!fields || !config.quant_method.empty()) continue;
      if (const std::optional<Fields> found = fields->object(name)) read_quantization(*found, config);
    }
  }
  return config;
}

}  // namespace mxfp4
