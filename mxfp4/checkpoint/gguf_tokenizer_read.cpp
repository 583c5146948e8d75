#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/gguf_tokenizer.h"
#include "mxfp4/checkpoint/gguf_tokenizer_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::json;

class MetadataReader {
 public:
  MetadataReader(std::span<const gguf::Pair> metadata, std::string_view where)
      : metadata_(metadata), where_(where) {}

  std::string text(const char* key) const {
    const gguf::Value* const value = gguf::find_value(metadata_, key);
    if (value == nullptr) return "";
    if (!value->text()) wrong(key, "a text");
    return std::string(*value->text());
  }

  std::vector<std::string> texts(const char* key) const {
    std::vector<std::string> result;
    for (const gguf::Value& value : elements(key)) {
      if (!value.text()) wrong(key, "a list of texts");
      result.emplace_back(*value.text());
    }
    return result;
  }

  std::vector<std::int64_t> integers(const char* key) const {
    std::vector<std::int64_t> result;
    for (const gguf::Value& value : elements(key)) {
      if (!value.integer()) wrong(key, "a list of integers");
      result.push_back(*value.integer());
    }
    return result;
  }

  std::optional<std::int64_t> integer(const char* key) const {
    const gguf::Value* const value = gguf::find_value(metadata_, key);
    if (value == nullptr) return std::nullopt;
    if (!value->integer()) wrong(key, "an integer");
    return value->integer();
  }

  [[noreturn]] void wrong(const char* key, const char* expected) const {
    fail(ErrorCode::corrupt_file, "{}: '{}' is {}, not {}", where_, key,
         gguf::shown(*gguf::find_value(metadata_, key)), expected);
  }

 private:
  std::vector<gguf::Value> elements(const char* key) const {
    const gguf::Value* const value = gguf::find_value(metadata_, key);
    if (value == nullptr) return {};
    if (!value->array()) wrong(key, "a list");
    return value->array()->elements();
  }

  std::span<const gguf::Pair> metadata_;
  std::string_view where_;
};

Json byte_level(bool use_regex, bool add_prefix_space = false) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json pre_tokenizer(const PreTokenizer& known) {
  if (known.pattern.empty()) return byte_level(true);
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", known.pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, byte_level(false)}}};
}

Json added_token(std::size_t id, const std::string& text, bool special) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

std::string written(const Json& json) {
  // A name or a template may hold bytes that are no UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

SmallFiles tokenizer_from_gguf(std::span<const gguf::Pair> metadata, std::string_view where) {
  const MetadataReader reader(metadata, where);
  const std::string pre = reader.text(kPreKey);
  const PreTokenizer* known = nullptr;
  for (const PreTokenizer& one : kPreTokenizers) {
    if (one.name == pre) known = &one;
  }
  if (reader.text(kModelKey) != kByteLevelBpe || known == nullptr) return {};
  const std::vector<std::string> tokens = reader.texts(kTokensKey);
  const std::vector<std::int64_t> types = reader.integers(kTypesKey);
  if (types.size() != tokens.size()) {
    fail(ErrorCode::corrupt_file, "{}: '{}' has {} values, but '{}' has {}", where, kTypesKey, types.size(),
         kTokensKey, tokens.size());
  }
  Json added = Json::array(), vocabulary = Json::object(), merges = Json::array();
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    switch (static_cast<TokenType>(types[id])) {
      case TokenType::control:
      case TokenType::user_defined:
        added.push_back(
            added_token(id, tokens[id], types[id] == static_cast<std::int64_t>(TokenType::control)));
        break;
      case TokenType::unused:
        break;
      case TokenType::normal:
        vocabulary[tokens[id]] = id;
        break;
      default:
        return {};  // byte tokens and the like, which byte-level BPE has no use for
    }
  }
  for (const std::string& merge : reader.texts(kMergesKey)) {
    const std::size_t space = merge.find(' ');
    if (space == std::string::npos || merge.find(' ', space + 1) != std::string::npos)
      fail(ErrorCode::corrupt_file, "{}: '{}': '{}' is no pair", where, kMergesKey, merge);
    merges.push_back({merge.substr(0, space), merge.substr(space + 1)});
  }
  const Json tokenizer = {{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", added},
                          {"normalizer", nullptr},
                          {"pre_tokenizer", pre_tokenizer(*known)},
                          {"post_processor", nullptr},
                          {"decoder", byte_level(true, true)},
                          {"model",
                           {{"type", "BPE"},
                            {"dropout", nullptr},
                            {"unk_token", nullptr},
                            {"continuing_subword_prefix", nullptr},
                            {"end_of_word_suffix", nullptr},
                            {"fuse_unk", false},
                            {"byte_fallback", false},
                            {"ignore_merges", false},
                            {"vocab", vocabulary},
                            {"merges", merges}}}};
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}}, generation = Json::object();
  for (const SpecialToken& special : kSpecialTokens) {
    const std::optional<std::int64_t> id = reader.integer(special.key);
    if (!id || *id < 0 || *id >= static_cast<std::int64_t>(tokens.size())) continue;
    config[special.name] = tokens[static_cast<std::size_t>(*id)];
    generation[std::string(special.name) + "_id"] = *id;
  }
  SmallFiles files = {{"tokenizer.json", written(tokenizer)},
                      {"tokenizer_config.json", written(config)},
                      {"generation_config.json", written(generation)}};
  if (std::string chat_template = reader.text(kTemplateKey); !chat_template.empty())
    files["chat_template.jinja"] = std::move(chat_template);
  return files;
}

}  // namespace mxfp4
