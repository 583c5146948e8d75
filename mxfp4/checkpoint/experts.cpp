#include "mxfp4/checkpoint/experts.h"

#include "mxfp4/checkpoint/experts_internal.h"
#include "mxfp4/checkpoint/report_internal.h"

namespace mxfp4 {
namespace {

struct Name {
  std::string_view suffix;
  ExpertMatrix matrix;
};

constexpr Name kNames[] = {{".experts.gate_up_proj", ExpertMatrix::gate_up},
                           {".experts.gate_proj", ExpertMatrix::gate},
                           {".experts.up_proj", ExpertMatrix::up},
                           {".experts.down_proj", ExpertMatrix::down}};
constexpr Name kOpenaiNames[] = {{".mlp1", ExpertMatrix::gate_up}, {".mlp2", ExpertMatrix::down}};

bool cut(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

}  // namespace

std::optional<ExpertName> parse_expert_name(std::string_view name) {
  ExpertName result;
  result.bias = cut(name, "_bias");
  for (const Name& known : kNames) {
    if (!name.ends_with(known.suffix)) continue;
    result.prefix = name.substr(0, name.rfind('.'));
    result.matrix = known.matrix;
    return result;
  }
  if (!name.starts_with("block.") || (!result.bias && !cut(name, "_weight"))) return std::nullopt;
  for (const Name& known : kOpenaiNames) {
    if (!cut(name, known.suffix)) continue;
    result.prefix = std::string(name) + ".experts";
    result.matrix = known.matrix;
    result.openai = true;
    return result;
  }
  return std::nullopt;
}

std::optional<ExpertName> stacked_expert_name(const Weight& weight) {
  std::optional<ExpertName> name = parse_expert_name(weight.name);
  if (!name || weight.shape().size() != (name->bias ? 2 : 3)) return std::nullopt;
  return name;
}

std::optional<bool> transposed_by_shape(std::span<const Weight> weights, std::int64_t hidden_size) {
  bool seen[2] = {false, false};
  for (const Weight& weight : weights) {
    const std::optional<ExpertName> name = stacked_expert_name(weight);
    if (!name || name->bias || name->openai || weight.is_quantized()) continue;
    // The hidden size is K of all but the down projection.
    const Shape& shape = weight.shape();
    const bool down = name->matrix == ExpertMatrix::down;
    const bool as_stored = shape[down ? 1 : 2] == hidden_size;
    const bool transposed = shape[down ? 2 : 1] == hidden_size;
    if (as_stored != transposed) seen[transposed] = true;
  }
  if (seen[0] == seen[1]) return std::nullopt;
  return seen[1];
}

void check_expert_sizes(const Checkpoint& checkpoint, Problems* problems) {
  const ModelConfig& config = checkpoint.config;
  for (const Weight& weight : checkpoint.weights) {
    const std::optional<ExpertName> name = stacked_expert_name(weight);
    if (!name) continue;
    const bool down = name->matrix == ExpertMatrix::down;
    const int matrices = name->matrix == ExpertMatrix::gate_up ? 2 : 1;
    const Shape& shape = weight.shape();
    bool fits = shape[0] == config.experts.value_or(shape[0]);
    if (down) {
      fits = fits && shape[1] == config.hidden_size.value_or(shape[1]);
      fits = fits && (name->bias || shape[2] == config.intermediate_size.value_or(shape[2]));
    } else {
      fits = fits && (!config.intermediate_size || shape[1] == matrices * *config.intermediate_size);
      fits = fits && (name->bias || shape[2] == config.hidden_size.value_or(shape[2]));
    }
    if (fits) continue;
    const auto number = [](std::optional<std::int64_t> value) {
      return value ? std::to_string(*value) : "?";
    };
    report(
        problems, ProblemKind::config, weight.stored->name,
        "{}: tensor '{}' of shape {} holds {}, which does not fit config.json: {} experts, hidden_size {}, "
        "intermediate_size {}",
        checkpoint.files.file_of(*weight.stored), weight.stored->name, to_string(weight.stored->shape),
        to_string(shape), number(config.experts), number(config.hidden_size),
        number(config.intermediate_size));
  }
}

std::string StackedExperts::name(std::int64_t expert, const ExpertRows& part) const {
  return fmt::format("{}.{}.{}.{}", prefix, expert, part.projection, bias ? "bias" : "weight");
}

std::optional<StackedExperts> stacked_experts(const Checkpoint& checkpoint, const Weight& weight) {
  std::optional<ExpertName> name = stacked_expert_name(weight);
  if (!name) return std::nullopt;
  const Shape& shape = weight.shape();
  const std::int64_t rows = shape[1];
  StackedExperts experts{std::move(name->prefix), shape[0], name->bias, {}};
  switch (name->matrix) {
    case ExpertMatrix::gate_up:
      if (checkpoint.gpt_oss) {
        experts.parts = {{"gate_proj", 0, rows, 2}, {"up_proj", 1, rows, 2}};
      } else {
        experts.parts = {{"gate_proj", 0, rows / 2, 1}, {"up_proj", rows / 2, rows, 1}};
      }
      break;
    case ExpertMatrix::gate:
      experts.parts = {{"gate_proj", 0, rows, 1}};
      break;
    case ExpertMatrix::up:
      experts.parts = {{"up_proj", 0, rows, 1}};
      break;
    case ExpertMatrix::down:
      experts.parts = {{"down_proj", 0, rows, 1}};
      break;
  }
  return experts;
}

}  // namespace mxfp4
