// Tokenizers: tokenizer.json in llama.cpp's terms, and the reverse.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "mxfp4/container/gguf.h"
#include "mxfp4/container/gguf_layout.h"

namespace mxfp4 {

/// Texts of small files by name: "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", ...
using SmallFiles = std::map<std::string, std::string>;

/// Files of a model that add_tokenizer reads where they are there.
inline constexpr const char* kTokenizerFiles[] = {"tokenizer.json", "tokenizer_config.json",
                                                  "chat_template.jinja", "config.json"};

/// Adds the tokenizer: byte-level BPE, filled up to `vocabulary` tokens with ones that are never used.
/// Without a tokenizer.json, or with one that is not byte-level BPE with a pattern that llama.cpp knows, the
/// metadata say that there is no vocabulary, with which llama.cpp loads the model but reads no text: returns
/// why, or an empty text if all is well. `where` begins messages. Throws Error corrupt_file for files that
/// cannot be right.
std::string add_tokenizer(gguf::Metadata& metadata, const SmallFiles& files, std::uint32_t vocabulary,
                          std::string_view where);

/// tokenizer.json, tokenizer_config.json, generation_config.json and chat_template.jinja that make the same
/// tokens as the metadata of a file, whose name `where` is; empty for a tokenizer of another kind than
/// add_tokenizer writes. Throws Error corrupt_file for values of the wrong type and lists of different
/// lengths.
SmallFiles tokenizer_from_gguf(std::span<const gguf::Pair> metadata, std::string_view where);

}  // namespace mxfp4
