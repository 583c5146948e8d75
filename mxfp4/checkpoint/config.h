// What config.json says, as far as this library needs it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/problems.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4 {

/// How MLX stores one module that is not as the model's default says.
struct MlxModule {
  std::int64_t group_size = 0, bits = 0;
};

/// Fields of config.json; what is absent or null there is absent here. Sizes that a model of several parts
/// keeps in "text_config" are taken from there.
struct ModelConfig {
  std::string model_type;    ///< "gpt_oss", "llama", ..., empty if absent
  std::string decoder_type;  ///< "text_config"'s model_type, or else the model's
  std::vector<std::string> architectures;
  std::optional<Dtype> dtype;  ///< "dtype", or the older "torch_dtype"
  std::optional<std::int64_t> hidden_size, intermediate_size, layers, experts, vocabulary;
  std::optional<std::int64_t> draft_layers;  ///< that predict further tokens; numbered after `layers`
  /// Every list of one value per layer, as JSON: "layer_types", ...
  std::vector<std::vector<std::string>> per_layer;
  bool tied_embeddings = false;

  std::string
      quant_method;  ///< quantization_config.quant_method; "mlx" for MLX's own dict; empty if unquantised
  std::string quant_format;  ///< compressed-tensors' format, ModelOpt's quant_algo, or MLX's mode
  std::map<std::string, MlxModule, std::less<>> mlx_modules;  ///< MLX's own dict's, by path
  /// The model's own list of modules to leave alone, in the language of quant_method.
  std::optional<std::vector<std::string>> left_alone;

  /// Whether model_type or architectures say gpt-oss.
  bool is_gpt_oss() const;
};

/// Parses the text of a config.json; empty text gives an empty config. `where` begins every message.
/// Throws Error corrupt_file if it is no JSON object or a field has the wrong type or an impossible value;
/// with `problems`, lists such fields and takes them for absent.
ModelConfig parse_config(std::string_view text, std::string_view where, Problems* problems = nullptr);

/// `text` with its quantization_config replaced by the JSON object `quantization`, or removed if that is
/// empty; MLX's "quantization" goes in any case. "dtype" (or the older "torch_dtype", if that stands there)
/// is set if `dtype` is given: F32, BF16 or F16. All else is kept to the letter, except that members of the
/// outer object stand on lines of their own. Throws Error corrupt_file if `text` is neither empty nor a JSON
/// object.
std::string with_quantization(std::string_view text, std::string_view quantization,
                              std::optional<Dtype> dtype = std::nullopt);

/// `text` with one member of the outer object set to a JSON value, or removed if that is empty. Throws Error
/// corrupt_file if `text` is neither empty nor a JSON object.
std::string with_member(std::string_view text, std::string_view name, std::string_view value);

}  // namespace mxfp4
