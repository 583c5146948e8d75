// What a gpt-oss model consists of.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/tensor/shape.h"

namespace mxfp4::job {

/// Sizes of a gpt-oss model, by the names of its config.json.
struct GptOssSize {
  const char* name;
  std::int64_t layers, hidden, intermediate, experts;
  std::int64_t vocabulary, heads, kv_heads, head_dim, sliding_window;
};

/// Every size that has a name.
std::span<const GptOssSize> gpt_oss_sizes() noexcept;

/// A parameter as the unquantised model has it.
struct Parameter {
  enum class Kind { norm, weight, experts };
  std::string name;
  Shape shape;  ///< of experts: [E, N, K]
  Kind kind = Kind::weight;
};

/// In the order of the files.
std::vector<Parameter> gpt_oss_parameters(const GptOssSize& size);

/// The text of config.json, unquantised.
std::string gpt_oss_config(const GptOssSize& size);

/// tokenizer.json and what stands beside it, by name: byte-level BPE of the 256 bytes and gpt-oss's special
/// tokens.
std::map<std::string, std::string> tokenizer_files();

/// Ids that the config and the tokenizer agree on.
struct TokenIds {
  int bos, eos, end_of_text, pad;
};
TokenIds token_ids();

}  // namespace mxfp4::job
