#include "mxfp4/checkpoint/gguf_config.h"

#include <cmath>
#include <limits>
#include <optional>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/gguf_names.h"
#include "mxfp4/checkpoint/json_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSwigluLimit = 7;                            // ggml's kernel has no other
constexpr std::uint32_t kMostlyMxfp4 = 38, kMostlyBf16 = 32;  // llama.cpp's file types
constexpr std::uint32_t kQuantizationVersion = 2;
constexpr const char *kSliding = "sliding_attention", *kFull = "full_attention";

/// A size or number that both sides have; `key` stands behind the architecture's name.
struct Field {
  const char* config;
  const char* key;
  bool is_float = false;
};

constexpr Field kSizes[] = {
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"hidden_size", "embedding_length"},
    {"intermediate_size", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"num_local_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"sliding_window", "attention.sliding_window"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", true},
    {"rope_theta", "rope.freq_base", true},
};

constexpr Field kYarn[] = {
    {"factor", "rope.scaling.factor", true},
    {"original_max_position_embeddings", "rope.scaling.original_context_length"},
    {"beta_fast", "rope.scaling.yarn_beta_fast", true},
    {"beta_slow", "rope.scaling.yarn_beta_slow", true},
};

constexpr Field kTokens[] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                             {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                             {"pad_token_id", "tokenizer.ggml.padding_token_id"}};

/// The shortest decimal that is that float: 1e-05, not 9.999999747378752e-06.
double shortest(float value) {
  return std::stod(fmt::format("{}", value));
}

class MetadataReader {
 public:
  MetadataReader(const gguf::File& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  void copy(Json& to, const Field& field, bool prefixed = true) const {
    const std::string key = prefixed ? prefix_ + field.key : field.key;
    const gguf::Value* const value = file_.value(key);
    if (value == nullptr) return;
    if (field.is_float) {
      const std::optional<double> number = value->number();
      if (!number || !std::isfinite(*number)) refuse(key, *value, "a number");
      to[field.config] =
          value->type == gguf::ValueType::f32 ? shortest(static_cast<float>(*number)) : *number;
    } else {
      const std::optional<std::int64_t> size = value->integer();
      // A list of sizes, one for each layer, has no place in a config of transformers.
      if (value->array()) return;
      if (!size || *size < 0) refuse(key, *value, "a size");
      to[field.config] = *size;
    }
  }

  std::string text(const char* key) const {
    const gguf::Value* const value = file_.value(prefix_ + key);
    if (value == nullptr) return "";
    if (!value->text()) refuse(prefix_ + key, *value, "a text");
    return std::string(*value->text());
  }

 private:
  [[noreturn]] void refuse(const std::string& key, const gguf::Value& value, const char* expected) const {
    fail(ErrorCode::corrupt_file, "{}: '{}' is {}, not {}", file_.map.path().native(), key,
         gguf::shown(value), expected);
  }

  const gguf::File& file_;
  std::string prefix_;
};

/// What a config has to say for GGUF.
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& config, std::string_view where) : config_(&config), where_(where) {}

  const nlohmann::json* find(const char* name) const {
    const auto found = config_->find(name);
    return found == config_->end() || found->is_null() ? nullptr : &*found;
  }

  std::uint32_t size(const nlohmann::json* value, const char* name) const {
    if (value == nullptr) missing(name);
    if (!value->is_number_unsigned() ||
        value->get<std::uint64_t>() > std::numeric_limits<std::int32_t>::max())
      wrong(name, *value, "a size");
    return value->get<std::uint32_t>();
  }

  float number(const nlohmann::json* value, const char* name) const {
    if (value == nullptr) missing(name);
    if (!value->is_number() || !std::isfinite(value->get<float>())) wrong(name, *value, "a number");
    return value->get<float>();
  }

  template <class... Args>
  [[noreturn]] void unsupported(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::unsupported, "{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void wrong(const char* name, const nlohmann::json& value, const char* expected) const {
    fail(ErrorCode::corrupt_file, "{}: '{}' is {}, not {}", where_, name, shown(value), expected);
  }

 private:
  [[noreturn]] void missing(const char* name) const {
    fail(ErrorCode::corrupt_file, "{}: '{}' is missing, which GGUF's gpt-oss needs", where_, name);
  }

  const nlohmann::json* config_;
  std::string_view where_;
};

void check_layers(const ConfigReader& config) {
  const nlohmann::json* const types = config.find("layer_types");
  if (types == nullptr) return;
  if (!types->is_array()) config.wrong("layer_types", *types, "a list");
  for (std::size_t layer = 0; layer < types->size(); ++layer) {
    const char* const expected = layer % 2 == 0 ? kSliding : kFull;
    if ((*types)[layer] == expected) continue;
    config.unsupported("layer_types: layer {} is {}, but llama.cpp's gpt-oss has {} there", layer,
                       shown((*types)[layer]), expected);
  }
}

void add_rope(const ConfigReader& config, gguf::Metadata& metadata, const std::string& prefix) {
  // transformers 5 calls it rope_parameters, and keeps rope_theta in it.
  const nlohmann::json* rope = config.find("rope_scaling");
  if (rope == nullptr) rope = config.find("rope_parameters");
  const nlohmann::json* theta = config.find("rope_theta");
  if (rope != nullptr) {
    if (!rope->is_object()) config.wrong("rope_scaling", *rope, "an object");
    const auto member = [&](const char* name) -> const nlohmann::json* {
      const auto found = rope->find(name);
      return found == rope->end() || found->is_null() ? nullptr : &*found;
    };
    const nlohmann::json* const type = member("rope_type") != nullptr ? member("rope_type") : member("type");
    if (theta == nullptr) theta = member("rope_theta");
    if (type != nullptr && *type == "yarn") {
      metadata.add(prefix + "rope.scaling.type", "yarn");
      for (const Field& field : kYarn) {
        if (field.is_float) {
          metadata.add(prefix + field.key, config.number(member(field.config), field.config));
        } else {
          metadata.add(prefix + field.key, config.size(member(field.config), field.config));
        }
      }
    } else if (type != nullptr && *type != "default") {
      config.unsupported("rope_type {} is not written to GGUF, only 'yarn'", shown(*type));
    }
  }
  metadata.add(prefix + "rope.freq_base", config.number(theta, "rope_theta"));
}

}  // namespace

std::string config_from_gguf(const gguf::File& file) {
  const gguf::Value* const name = file.value("general.architecture");
  const std::string architecture(name == nullptr ? "" : name->text().value_or(""));
  const LlamaCppArchitecture* const known = find_llama_cpp_architecture(architecture);
  if (known == nullptr) return "";
  const bool gpt_oss = architecture == "gpt-oss";
  const MetadataReader reader(file, architecture + ".");
  Json config;
  config["architectures"] = {known->class_name};
  if (gpt_oss) config["attention_bias"] = true;
  for (const Field& field : kTokens) reader.copy(config, field, false);
  for (const Field& field : kSizes) reader.copy(config, field);
  config["hidden_act"] = "silu";
  config["model_type"] = known->model_type;
  if (reader.text("rope.scaling.type") == "yarn") {
    Json rope;
    for (const Field& field : kYarn) reader.copy(rope, field);
    rope["rope_type"] = "yarn";
    if (gpt_oss) {
      rope["truncate"] = false;
      if (rope.contains("original_max_position_embeddings"))
        config["initial_context_length"] = rope["original_max_position_embeddings"];
    }
    config["rope_scaling"] = rope;
  }
  if (gpt_oss) {
    config["experts_per_token"] = config.value("num_experts_per_tok", Json());
    config["swiglu_limit"] = kSwigluLimit;
    const auto layers = config.value("num_hidden_layers", std::int64_t{0});
    constexpr std::int64_t kMostLayers = 1 << 16;
    Json types = Json::array();
    for (std::int64_t layer = 0; layer < std::min(layers, kMostLayers); ++layer)
      types.push_back(layer % 2 == 0 ? kSliding : kFull);
    config["layer_types"] = types;
  }
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  if (const gguf::Tensor* const embedding = file.find("token_embd.weight"))
    config["vocab_size"] = embedding->shape.front();
  return config.dump(2) + "\n";
}

gguf::Metadata gguf_metadata(std::string_view config, std::string_view model_name, bool mxfp4,
                             std::string_view where) {
  const nlohmann::json json = parse_json(config, where);
  if (!json.is_object()) fail(ErrorCode::corrupt_file, "{}: is not a JSON object", where);
  const ConfigReader reader(json, where);
  check_layers(reader);
  if (const nlohmann::json* const limit = reader.find("swiglu_limit");
      limit != nullptr && reader.number(limit, "swiglu_limit") != kSwigluLimit) {
    reader.unsupported("swiglu_limit is {}, but llama.cpp's gpt-oss has {}", shown(*limit), kSwigluLimit);
  }
  const std::string prefix = "gpt-oss.";
  gguf::Metadata metadata;
  metadata.add("general.architecture", "gpt-oss").add("general.type", "model");
  if (!model_name.empty()) metadata.add("general.name", model_name);
  std::uint32_t head = 0;
  for (const Field& field : kSizes) {
    if (field.config == std::string_view("rope_theta")) continue;
    const nlohmann::json* value = reader.find(field.config);
    if (value == nullptr && field.config == std::string_view("num_experts_per_tok"))
      value = reader.find("experts_per_token");
    if (field.is_float) {
      metadata.add(prefix + field.key, reader.number(value, field.config));
      continue;
    }
    metadata.add(prefix + field.key, reader.size(value, field.config));
    if (field.config == std::string_view("head_dim")) head = reader.size(value, field.config);
  }
  metadata.add(prefix + "attention.value_length", head);
  metadata.add(prefix + "expert_feed_forward_length",
               reader.size(reader.find("intermediate_size"), "intermediate_size"));
  add_rope(reader, metadata, prefix);
  metadata.add("general.file_type", mxfp4 ? kMostlyMxfp4 : kMostlyBf16);
  metadata.add("general.quantization_version", kQuantizationVersion);
  return metadata;
}

}  // namespace mxfp4
