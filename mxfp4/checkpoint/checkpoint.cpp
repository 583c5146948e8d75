#include "mxfp4/checkpoint/checkpoint.h"

#include <algorithm>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/expectations_internal.h"
#include "mxfp4/checkpoint/experts_internal.h"
#include "mxfp4/checkpoint/foreign_internal.h"
#include "mxfp4/checkpoint/gguf_files_internal.h"
#include "mxfp4/checkpoint/uqff_files_internal.h"
#include "mxfp4/checkpoint/weights_internal.h"

namespace mxfp4 {
namespace {

const Convention* wanted_convention(std::string_view name) {
  if (name.empty()) return nullptr;
  const Convention* const wanted = find_convention(name);
  if (wanted == nullptr) fail(ErrorCode::invalid_argument, "unknown convention '{}'", name);
  return wanted;
}

// Whether the dense experts, which are the same in both, are under gpt-oss's original names.
bool has_openai_names(const Checkpoint& checkpoint) {
  return std::any_of(checkpoint.weights.begin(), checkpoint.weights.end(), [](const Weight& weight) {
    const std::optional<ExpertName> name = stacked_expert_name(weight);
    return name && name->openai;
  });
}

// Without a config: no other model has sinks, and experts with biases.
bool looks_like_gpt_oss(const Checkpoint& checkpoint) {
  bool sinks = false, biases = false;
  for (const Weight& weight : checkpoint.weights) {
    const std::string_view name = weight.name;
    sinks = sinks || name.ends_with(".self_attn.sinks");
    biases = biases || (name.find(".experts.") != std::string_view::npos &&
                        (name.ends_with("_proj_bias") || name.ends_with("_proj.bias")));
  }
  return sinks && biases;
}

void recognise_gpt_oss(Checkpoint& checkpoint, const Convention* wanted) {
  const Convention* const gpt_oss = find_convention("gpt-oss");
  const Convention* const openai = find_convention("openai");
  const bool saved_as_blocks =
      std::any_of(checkpoint.weights.begin(), checkpoint.weights.end(),
                  [](const Weight& weight) { return is_saved_as_blocks(*weight.stored); });
  const bool openai_names = has_openai_names(checkpoint);
  const bool told = checkpoint.files.config.empty() && wanted == gpt_oss;
  checkpoint.gpt_oss =
      checkpoint.config.is_gpt_oss() || checkpoint.convention == gpt_oss || checkpoint.convention == openai ||
      saved_as_blocks || openai_names || told ||
      (checkpoint.has_quantized && checkpoint.files.config.empty() && looks_like_gpt_oss(checkpoint));
  if (checkpoint.gpt_oss && checkpoint.convention == nullptr)
    checkpoint.convention = openai_names ? openai : gpt_oss;
}

// MLX, whose stacked experts are modules like any other.
bool stores_experts_apart(const Checkpoint& checkpoint) {
  return checkpoint.convention != nullptr && checkpoint.convention->experts == ExpertLayout::apart;
}

// Shows dense stacked experts as [E, N, K].
void orient_experts(Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config;
  std::optional<bool> transposed;
  if (checkpoint.gpt_oss) {
    transposed = true;
  } else if (config.hidden_size) {
    transposed = transposed_by_shape(checkpoint.weights, *config.hidden_size);
  }
  const bool llama4 = config.model_type == "llama4" || config.model_type == "llama4_text";
  checkpoint.experts_transposed = transposed.value_or(llama4);
  for (Weight& weight : checkpoint.weights) {
    const std::optional<ExpertName> name = stacked_expert_name(weight);
    if (!name || name->bias || name->openai || weight.is_quantized()) continue;
    if (transposed.value_or(false)) {
      weight.dense = weight.dense.transposed(1, 2);
    } else {
      // Whoever stores them transposed joins gate and up.
      const bool separate = name->matrix == ExpertMatrix::gate || name->matrix == ExpertMatrix::up;
      weight.orientation_unknown = !transposed && !separate;
    }
  }
}

// llama.cpp keeps experts as Linear layers mean them, and says what its tensors are.
void read_gguf(Checkpoint& checkpoint, Problems* problems) {
  checkpoint.foreign = foreign_gguf_types(checkpoint.files);
  checkpoint.weights = read_gguf_weights(checkpoint.files, checkpoint.config, problems);
  checkpoint.has_quantized = std::any_of(checkpoint.weights.begin(), checkpoint.weights.end(),
                                         [](const Weight& weight) { return weight.is_quantized(); });
  checkpoint.gpt_oss = checkpoint.config.is_gpt_oss();
  if (checkpoint.has_quantized) {
    checkpoint.convention = &gguf_convention();
  } else if (checkpoint.gpt_oss) {
    checkpoint.convention = find_convention("gpt-oss");
  }
}

void read_safetensors(Checkpoint& checkpoint, const Convention* wanted, Problems* problems) {
  Pairs pairs = find_pairs(checkpoint.files, checkpoint.config, wanted);
  if (holds_uqff(checkpoint.files)) checkpoint.foreign = check_uqff(checkpoint.files, problems);
  if (checkpoint.foreign.empty())
    checkpoint.foreign = foreign_quantization(checkpoint.files, checkpoint.config, pairs);
  if (!checkpoint.foreign.empty()) {
    checkpoint.weights = read_weights(checkpoint.files, {}, problems);
    return;
  }
  check_pairs(checkpoint.files, pairs, problems);
  checkpoint.convention = pairs.convention;
  checkpoint.or_else = pairs.or_else;
  checkpoint.has_quantized = pairs.convention != nullptr;
  if (!checkpoint.has_quantized && !pairs.others.empty())
    checkpoint.other_format = pairs.others.begin()->second->format;
  checkpoint.weights = read_weights(checkpoint.files, pairs, problems);
  recognise_gpt_oss(checkpoint, wanted);
  orient_experts(checkpoint);
}

}  // namespace

std::string_view Weight::module() const noexcept {
  constexpr std::string_view kWeight = ".weight";
  std::string_view module = name;
  if (module.ends_with(kWeight)) module.remove_suffix(kWeight.size());
  return module;
}

const Shape& Weight::shape() const noexcept {
  return is_quantized() ? quantized.shape : other != nullptr ? other->shape : dense.shape;
}

std::vector<const StoredTensor*> Weight::tensors() const {
  if (other != nullptr) return other->stored;
  if (!is_quantized() || scales == stored) return {stored};
  return {stored, scales};
}

std::string Checkpoint::convention_name() const {
  if (!foreign.empty()) return foreign;
  if (has_quantized) return convention->name;
  if (!other_format.empty()) return other_format;
  return convention == find_convention("gpt-oss") ? "gpt-oss-dense" : "dense";
}

const Weight* Checkpoint::find(std::string_view name) const noexcept {
  const auto found =
      std::lower_bound(weights.begin(), weights.end(), name,
                       [](const Weight& weight, std::string_view n) { return natural_less(weight.name, n); });
  return found != weights.end() && found->name == name ? &*found : nullptr;
}

Checkpoint open_checkpoint(const std::filesystem::path& path, std::string_view convention,
                           Problems* problems) {
  const Convention* const wanted = wanted_convention(convention);
  Checkpoint checkpoint;
  checkpoint.files = open_model(path, problems);
  checkpoint.config = parse_config(checkpoint.files.config, (path / "config.json").native(), problems);
  if (checkpoint.files.container == kGguf) {
    read_gguf(checkpoint, problems);
  } else {
    read_safetensors(checkpoint, wanted, problems);
  }
  if (wanted != nullptr && checkpoint.has_quantized && checkpoint.convention != wanted) {
    fail(ErrorCode::invalid_argument, "{}: its weights are stored as {}, not {}", path.native(),
         checkpoint.convention->name, wanted->name);
  }
  if (checkpoint.gpt_oss) check_expert_sizes(checkpoint, problems);
  if (problems != nullptr) check_expectations(checkpoint, *problems);
  return checkpoint;
}

std::string dense_name(const Checkpoint& checkpoint, const Weight& weight) {
  const std::optional<ExpertName> name = stacked_expert_name(weight);
  if (!name || !stores_experts_apart(checkpoint)) return weight.name;
  return name->bias ? weight.stored->name : weight.name + ".weight";
}

void check_readable(const Checkpoint& checkpoint) {
  if (checkpoint.foreign.empty()) return;
  constexpr std::string_view kBiases = ".biases";
  for (const StoredTensor* const tensor : checkpoint.files.tensors()) {
    if (checkpoint.foreign != "mlx" || tensor->shape.size() != 3 || !tensor->name.ends_with(kBiases))
      continue;
    fail(ErrorCode::unsupported,
         "{}: '{}.weight' is in MLX's affine mode and stacked; of that mode only matrices are read",
         checkpoint.files.path.native(), tensor->name.substr(0, tensor->name.size() - kBiases.size()));
  }
  fail(ErrorCode::unsupported, "{}: its weights are quantised as {}, which is not read",
       checkpoint.files.path.native(), checkpoint.foreign);
}

bool dense_is_transposed(const Checkpoint& checkpoint, const Weight& weight) {
  if (stores_experts_apart(checkpoint)) return false;
  const std::optional<ExpertName> name = stacked_expert_name(weight);
  return checkpoint.experts_transposed && name && !name->bias && !name->openai;
}

}  // namespace mxfp4
