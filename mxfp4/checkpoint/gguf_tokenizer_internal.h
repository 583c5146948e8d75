// What both directions of the tokenizer know.
#pragma once

#include <cstdint>
#include <string_view>

namespace mxfp4 {

/// How text is cut before BPE: llama.cpp has names for it, tokenizer.json a regular expression.
struct PreTokenizer {
  std::string_view name;
  std::string_view pattern;  ///< empty: GPT-2's, which ByteLevel itself has
};

inline constexpr PreTokenizer kPreTokenizers[] = {
    {"gpt-4o",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
     R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
     R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"gpt-2", ""},
};

/// llama.cpp's types of tokens.
enum class TokenType : std::int32_t { normal = 1, control = 3, user_defined = 4, unused = 5 };

/// Tokens with a meaning of their own: "bos_token" and "bos_token_id" in JSON.
struct SpecialToken {
  const char* name;
  const char* key;
};
inline constexpr SpecialToken kSpecialTokens[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                                  {"eos_token", "tokenizer.ggml.eos_token_id"},
                                                  {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                                  {"pad_token", "tokenizer.ggml.padding_token_id"}};

inline constexpr const char* kModelKey = "tokenizer.ggml.model";
inline constexpr const char* kPreKey = "tokenizer.ggml.pre";
inline constexpr const char* kTokensKey = "tokenizer.ggml.tokens";
inline constexpr const char* kTypesKey = "tokenizer.ggml.token_type";
inline constexpr const char* kMergesKey = "tokenizer.ggml.merges";
inline constexpr const char* kTemplateKey = "tokenizer.chat_template";
inline constexpr const char* kByteLevelBpe = "gpt2";  // what llama.cpp calls it

}  // namespace mxfp4
