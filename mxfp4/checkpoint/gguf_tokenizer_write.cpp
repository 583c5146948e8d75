#include <algorithm>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/gguf_tokenizer.h"
#include "mxfp4/checkpoint/gguf_tokenizer_internal.h"
#include "mxfp4/checkpoint/json_internal.h"

namespace mxfp4 {
namespace {

using nlohmann::json;

constexpr std::string_view kSpace = "\xC4\xA0";  // what byte-level BPE writes for a space: U+0120

const json* find(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const json& object, const char* name) {
  const json* const value = find(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

/// A tokenizer.json, understood as far as GGUF goes.
class Tokenizer {
 public:
  Tokenizer(const json& file, std::string where) : file_(file), where_(std::move(where)) {}

  /// llama.cpp's name for how text is cut; nothing for what it may not know.
  std::optional<std::string_view> pre_tokenizer() const {
    const json* const pre = find(file_, "pre_tokenizer");
    if (pre == nullptr) return std::nullopt;
    std::vector<const json*> steps = {pre};
    if (const json* const list = find(*pre, "pretokenizers"); list != nullptr && list->is_array()) {
      steps.clear();
      for (const json& step : *list) steps.push_back(&step);
    }
    std::string pattern;
    bool bytes = false;
    for (const json* const step : steps) {
      const std::string type = text_of(*step, "type");
      const json* const split = find(*step, "pattern");
      if (type == "Split" && split != nullptr && pattern.empty()) {
        pattern = text_of(*split, "Regex");
      } else if (type == "ByteLevel") {
        bytes = true;
      } else {
        return std::nullopt;
      }
    }
    const auto* const known = std::find_if(std::begin(kPreTokenizers), std::end(kPreTokenizers),
                                           [&](const PreTokenizer& one) { return one.pattern == pattern; });
    if (!bytes || known == std::end(kPreTokenizers)) return std::nullopt;
    return known->name;
  }

  bool is_bpe() const {
    const json* const model = find(file_, "model");
    return model != nullptr && text_of(*model, "type") == "BPE" && find(*model, "vocab") != nullptr;
  }

  void read_tokens(std::uint32_t vocabulary) {
    tokens.assign(vocabulary, "");
    types.assign(vocabulary, static_cast<std::int32_t>(TokenType::unused));
    const json& vocab = file_.at("model").at("vocab");
    if (!vocab.is_object()) wrong("model.vocab", vocab, "an object");
    for (const auto& [token, id] : vocab.items()) set(token, id, TokenType::normal);
    if (const json* const added = find(file_, "added_tokens"); added != nullptr && added->is_array()) {
      for (const json& token : *added) {
        const std::string text = text_of(token, "content");
        const json* const special = find(token, "special");
        const bool control =
            (special != nullptr && *special == true) || (text.starts_with("<|") && text.ends_with("|>"));
        const json* const id = find(token, "id");
        set(text, id == nullptr ? json() : *id, control ? TokenType::control : TokenType::user_defined);
        ids_.emplace(text, id->get<std::uint32_t>());
      }
    }
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      if (types[id] == static_cast<std::int32_t>(TokenType::unused)) tokens[id] = fmt::format("[PAD{}]", id);
    }
  }

  void read_merges() {
    const json* const list = find(file_.at("model"), "merges");
    if (list == nullptr) return;
    if (!list->is_array()) wrong("model.merges", *list, "a list");
    for (const json& merge : *list) {
      if (merge.is_string()) {
        merges.push_back(merge.get<std::string>());
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        merges.push_back(without_spaces(merge[0].get<std::string>()) + " " +
                         without_spaces(merge[1].get<std::string>()));
      } else {
        wrong("a merge", merge, "two texts");
      }
    }
  }

  /// The id of an added token, or nothing.
  std::optional<std::uint32_t> id_of(const std::string& token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }

  std::vector<std::string> tokens, merges;
  std::vector<std::int32_t> types;

 private:
  void set(const std::string& token, const json& id, TokenType type) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= tokens.size()) {
      fail(ErrorCode::corrupt_file, "{}: token '{}' has id {}, but vocab_size is {}", where_, token,
           shown(id), tokens.size());
    }
    tokens[id.get<std::size_t>()] = token;
    types[id.get<std::size_t>()] = static_cast<std::int32_t>(type);
  }

  static std::string without_spaces(const std::string& text) {
    std::string result;
    for (const char c : text) c == ' ' ? result.append(kSpace) : result.append(1, c);
    return result;
  }

  [[noreturn]] void wrong(const char* name, const json& value, const char* expected) const {
    fail(ErrorCode::corrupt_file, "{}: {} is {}, not {}", where_, name, shown(value), expected);
  }

  const json& file_;
  std::string where_;
  std::map<std::string, std::uint32_t> ids_;
};

json parsed(const SmallFiles& files, const char* name, std::string_view where) {
  const auto found = files.find(name);
  return found == files.end() ? json::object() : parse_json(found->second, fmt::format("{}/{}", where, name));
}

std::string content_of(const json& token) {
  return token.is_string() ? token.get<std::string>() : text_of(token, "content");
}

void add_special_tokens(gguf::Metadata& metadata, const Tokenizer& tokenizer, const json& tokenizer_config,
                        const json& config) {
  for (const SpecialToken& special : kSpecialTokens) {
    std::optional<std::uint32_t> id;
    if (const json* const token = find(tokenizer_config, special.name))
      id = tokenizer.id_of(content_of(*token));
    if (!id) {
      const std::string field = std::string(special.name) + "_id";
      if (const json* const told = find(config, field.c_str());
          told != nullptr && told->is_number_unsigned() &&
          told->get<std::uint64_t>() < tokenizer.tokens.size()) {
        id = told->get<std::uint32_t>();
      }
    }
    if (id) metadata.add(special.key, *id);
  }
  for (const char* const flag : {"add_bos_token", "add_eos_token"}) {
    const json* const value = find(tokenizer_config, flag);
    if (value != nullptr && value->is_boolean())
      metadata.add(std::string("tokenizer.ggml.") + flag, value->get<bool>());
  }
}

}  // namespace

std::string add_tokenizer(gguf::Metadata& metadata, const SmallFiles& files, std::uint32_t vocabulary,
                          std::string_view where) {
  const auto none = [&](std::string why) {
    metadata.add(kModelKey, "no_vocab").add("gpt-oss.vocab_size", vocabulary);
    return why;
  };
  if (files.find("tokenizer.json") == files.end()) return none("there is no tokenizer.json");
  const json file = parsed(files, "tokenizer.json", where);
  Tokenizer tokenizer(file, fmt::format("{}/tokenizer.json", where));
  if (!tokenizer.is_bpe()) return none("tokenizer.json is not BPE");
  const std::optional<std::string_view> pre = tokenizer.pre_tokenizer();
  if (!pre) return none("tokenizer.json cuts text in a way that is not known by a name of llama.cpp's");
  tokenizer.read_tokens(vocabulary);
  tokenizer.read_merges();
  metadata.add(kModelKey, kByteLevelBpe).add(kPreKey, *pre);
  metadata.add(kTokensKey, tokenizer.tokens).add(kTypesKey, tokenizer.types);
  metadata.add(kMergesKey, tokenizer.merges);
  const json tokenizer_config = parsed(files, "tokenizer_config.json", where);
  add_special_tokens(metadata, tokenizer, tokenizer_config, parsed(files, "config.json", where));
  std::string chat_template = text_of(tokenizer_config, "chat_template");
  if (const auto jinja = files.find("chat_template.jinja"); chat_template.empty() && jinja != files.end())
    chat_template = jinja->second;
  if (!chat_template.empty()) metadata.add(kTemplateKey, chat_template);
  return "";
}

}  // namespace mxfp4
