#include <algorithm>
#include <map>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/openai_internal.h"
#include "mxfp4/checkpoint/selection.h"
#include "mxfp4/job/convert_plan_internal.h"

namespace mxfp4::job {
namespace {

template <class... Args>
[[noreturn]] void refuse(const Convention& format, fmt::format_string<Args...> reason, Args&&... args) {
  fail(ErrorCode::unsupported, "--format {}: {}", format.name,
       fmt::format(reason, std::forward<Args>(args)...));
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "layers.3.ffn.experts"
bool is_deepseek_layer(std::string_view prefix) {
  constexpr std::string_view kBegin = "layers.", kEnd = ".ffn.experts";
  return prefix.starts_with(kBegin) && prefix.ends_with(kEnd) &&
         prefix.size() > kBegin.size() + kEnd.size() &&
         is_number(prefix.substr(kBegin.size(), prefix.size() - kBegin.size() - kEnd.size()));
}

// Experts that could not be taken apart.
void check_cut(const ConvertSource& source, const Convention& format) {
  if (format.experts == ExpertLayout::as_model && !source.checkpoint.gpt_oss) return;
  for (const Piece& piece : source.pieces) {
    const bool stacked = piece.shape.size() > 2 && piece.name.ends_with(".experts.gate_up_proj");
    if (!stacked || !piece.is_quantized()) continue;
    refuse(format, "nothing tells whether rows of gate and up take turns in '{}': there is no config.json",
           piece.name);
  }
}

void check_quantized(const Convention& format, const Piece& piece) {
  const bool expert = parse_expert_piece(piece.name).has_value();
  if (format.experts_only && !expert)
    refuse(format, "'{}' is MXFP4, but no weight except experts is there", piece.name);
  if (expert || format.codes_suffix == std::string_view(".blocks")) return;
  if (!piece.name.ends_with(".weight"))
    refuse(format, "'{}' is MXFP4, but only names that end in '.weight' are there", piece.name);
  if (format.experts != ExpertLayout::single) return;
  if (piece.shape.size() != 2)
    refuse(format, "'{}' is MXFP4 of shape {}, but only matrices are there", piece.name,
           to_string(piece.shape));
  if (!is_linear(piece.name, 2))
    refuse(format, "'{}' is MXFP4, but only matrices of Linear layers are there", piece.name);
}

// Readers of gpt-oss ask about all experts of a layer at once.
void check_experts_together(const ConvertSource& source, const Convention& format) {
  std::map<std::string_view, const Piece*, std::less<>> first;
  for (const Piece& piece : source.pieces) {
    const std::optional<ExpertPiece> expert = parse_expert_piece(piece.name);
    if (!expert || expert->bias) continue;
    const Piece& other = *first.emplace(expert->prefix, &piece).first->second;
    if (other.is_quantized() == piece.is_quantized()) continue;
    const Piece& dense = piece.is_quantized() ? other : piece;
    refuse(format, "'{}' is not MXFP4, but other experts of its layer are", dense.name);
  }
}

void check_gpt_oss(const ConvertSource& source, const Convention& format) {
  if (!source.checkpoint.gpt_oss)
    refuse(format, "{} is no gpt-oss model", source.checkpoint.files.path.native());
  check_experts_together(source, format);
  if (format.name != std::string_view("openai")) return;
  for (const Piece& piece : source.pieces) {
    const std::string name = place_of(format, true, piece).name;
    if (openai_to_transformers(name).empty())
      refuse(format, "the original release has no name for '{}'", piece.name);
  }
}

void check_deepseek(const ConvertSource& source, const Convention& format) {
  for (const Piece& piece : source.pieces) {
    const std::optional<ExpertPiece> expert = parse_expert_piece(piece.name);
    if (!expert) continue;
    if (expert->bias) refuse(format, "'{}': there are no biases of experts", piece.name);
    if (!is_deepseek_layer(expert->prefix))
      refuse(format, "'{}' is no weight of a DeepSeek-V4 model, whose experts are layers.N.ffn.experts",
             piece.name);
  }
}

}  // namespace

bool is_deepseek(const ConvertSource& source) {
  return std::all_of(source.pieces.begin(), source.pieces.end(), [](const Piece& piece) {
    const std::optional<ExpertPiece> expert = parse_expert_piece(piece.name);
    return expert ? !expert->bias && is_deepseek_layer(expert->prefix) : !piece.is_quantized();
  });
}

void check_holds(const ConvertSource& source, const Convention& format) {
  const std::string_view name = format.name;
  if (name == "deepseek-v4") check_deepseek(source, format);
  if (name == "gpt-oss" || name == "openai") check_gpt_oss(source, format);
  check_cut(source, format);
  for (const Piece& piece : source.pieces) {
    if (piece.is_quantized()) check_quantized(format, piece);
  }
}

}  // namespace mxfp4::job
