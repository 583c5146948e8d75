// Naming conventions of quantised checkpoints: a table, one row each; what a row needs beyond its fields is a
// file of its own, convention_<name>.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4 {

/// Key in the metadata of a `linear` file: a JSON array of the names, without suffix, of quantised weights
/// whose dense names do not end in ".weight".
inline constexpr const char* kBareNamesKey = "mxfp4.bare_names";

/// How the codes of a weight [..., K] are shaped.
enum class CodeShape : std::uint8_t {
  bytes,     ///< U8 or I8 [..., K/2]
  blocks,    ///< U8 [..., K/32, 16]
  words,     ///< U32 [..., K/8], little-endian
  elements,  ///< F4 [..., K]
};

/// How the experts of a layer are stored.
enum class ExpertLayout : std::uint8_t {
  joined,    ///< {...}.experts.gate_up_proj [E, 2I, K], rows of gate and up in turns, and down_proj
  apart,     ///< {...}.experts.gate_proj, up_proj and down_proj [E, N, K]
  as_model,  ///< joined in a gpt-oss model, apart in every other
  single,    ///< {...}.experts.3.gate_proj, ...: one matrix per expert and projection
};

/// What a convention's config says.
struct ConfigRequest {
  std::string_view config;  ///< text of the model's config.json, in transformers' terms but for `openai`
  /// The modules of Linear layers and the stacked experts that are not quantised, by Weight::module().
  std::span<const std::string> left_alone;
};

/// How a project stores quantised weights.
struct Convention {
  const char* name;          ///< "gpt-oss"
  const char* codes_suffix;  ///< put after the module's path: "_blocks", ".weight_packed"
  const char* scales_suffix;
  Dtype codes_dtype, scales_dtype;
  CodeShape code_shape;
  ExpertLayout experts;
  bool experts_only;         ///< no weight but experts is quantised
  const char* quant_method;  ///< what quantization_config names; null: its readers ask for none
  const char* quant_format;  ///< the same of its "format"; null: not asked for
  /// The small files that tell a reader, by name: config.json, ...
  std::map<std::string, std::string> (*texts)(const ConfigRequest& request);
  const char* description;
  bool own_files = false;  ///< stored in more than safetensors and a config: `quantize` does not write it

  /// The shape of the codes of a weight, whose last dimension is a multiple of 32.
  Shape shape_of_codes(Shape weight) const;
  /// Whether codes are stored under the name of the dense weight, so that their dtype gives them away.
  bool hides_codes() const noexcept { return std::string_view(codes_suffix) == ".weight"; }
};

/// Every convention of safetensors that is read and written.
std::span<const Convention> conventions() noexcept;

/// The convention of that name, or null.
const Convention* find_convention(std::string_view name) noexcept;

/// The names of those that `quantize` writes in one line, for messages.
std::string convention_names();

}  // namespace mxfp4
