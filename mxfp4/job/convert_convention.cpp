#include <algorithm>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/openai_internal.h"
#include "mxfp4/checkpoint/selection.h"
#include "mxfp4/job/convert_plan_internal.h"
#include "mxfp4/job/parts.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

constexpr std::string_view kWeight = ".weight", kOutputHead = "lm_head";

/// Builds the plan tensor by tensor.
class Planner {
 public:
  Planner(const ConvertSource& source, const Convention& format, ConvertPlan& plan, const MakePart& reencode)
      : source_(source), files_(source.checkpoint.files), format_(format), plan_(plan), reencode_(reencode) {}

  void add(const Assembled& tensor) {
    const StoredNames names = stored_names(format_, tensor.name, tensor.stacked);
    const Piece& first = *tensor.pieces[0];
    parameters_ += static_cast<std::uint64_t>(element_count(tensor.shape));
    if (tensor.is_quantized()) return move(tensor, names);
    if (is_kept_as_stored(first, names)) return keep(tensor);
    if (is_linear(tensor.name, tensor.shape.size(), tensor.stacked)) {
      std::string module = tensor.name;
      if (module.ends_with(kWeight)) module.resize(module.size() - kWeight.size());
      left_alone_.push_back(std::move(module));
    }
    has_head_ = has_head_ || tensor.name.find(kOutputHead) != std::string::npos;
    if (first.weight->other != nullptr) {
      if (tensor.stacked) refuse_stack(tensor);
      plan_.add(join_part(names.dense, tensor, Dtype::bf16, files_), tensor, Conversion::expanded);
    } else {
      plan_.add(dense_part(tensor, names.dense), tensor, Conversion::kept);
    }
  }

  /// What can be said once every tensor is added.
  void finish() {
    Output& output = plan_.output;
    if (!bare_names_.empty()) output.metadata[kBareNamesKey] = nlohmann::json(bare_names_).dump();
    if (!plan_.directory) return;
    if (format_.name == std::string_view("mlx")) {
      output.metadata["format"] = "mlx";
      output.index_notes["total_parameters"] = parameters_;
    }
    const ModelConfig& config = source_.checkpoint.config;
    if (config.tied_embeddings && !has_head_) left_alone_.emplace_back(kOutputHead);
    const std::string text = dense_config(source_.checkpoint);
    if (text.empty()) return;
    for (auto& [name, content] : format_.texts({text, left_alone_})) output.texts[name] = content;
  }

 private:
  void move(const Assembled& tensor, const StoredNames& names) {
    if (format_.name == std::string_view("linear") && !tensor.stacked && !tensor.name.ends_with(kWeight))
      bare_names_.push_back(tensor.name);  // or a reader would take it for name.weight
    has_head_ = has_head_ || tensor.name.find(kOutputHead) != std::string::npos;
    Shape scales = tensor.shape;
    scales.back() /= kBlockSize;
    plan_.report.blocks += static_cast<std::uint64_t>(element_count(scales));
    if (reencode_) return plan_.add(reencode_(tensor, names), tensor, Conversion::reencoded);
    plan_.add(move_part(tensor, {names.codes, format_.codes_dtype, format_.shape_of_codes(tensor.shape)},
                        {names.scales, format_.scales_dtype, scales}, files_),
              tensor, Conversion::moved);
  }

  // A weight in the quantisation that OUT has, under the names that it has there.
  bool is_kept_as_stored(const Piece& piece, const StoredNames& names) const {
    if (piece.weight->other == nullptr || !reencode_) return false;
    const StoredTensor &codes = *piece.weight->other->stored[0], &scales = *piece.weight->other->stored[1];
    return codes.name == names.codes && scales.name == names.scales && codes.dtype == format_.codes_dtype &&
           scales.dtype == format_.scales_dtype;
  }

  void keep(const Assembled& tensor) {
    const std::vector<const StoredTensor*> stored = tensor.pieces[0]->weight->tensors();
    plan_.add(copy_part(stored[0]->name, *stored[0], map_of(files_, *stored[0])), tensor, Conversion::kept);
    for (std::size_t i = 1; i < stored.size(); ++i) {
      plan_.output.parts.push_back(copy_part(stored[i]->name, *stored[i], map_of(files_, *stored[i])));
      plan_.report.bytes_in += stored[i]->bytes.size();
      plan_.report.bytes_out += stored[i]->bytes.size();
    }
  }

  [[noreturn]] void refuse_stack(const Assembled& tensor) const {
    fail(ErrorCode::unsupported,
         "--format {}: '{}' is not MXFP4, and of experts only those that are MXFP4 are put together",
         format_.name, tensor.pieces[0]->name);
  }

  Part dense_part(const Assembled& tensor, const std::string& name) const {
    const Piece& first = *tensor.pieces[0];
    const Weight& weight = *first.weight;
    const MappedFile* const map = map_of(files_, *weight.stored);
    const Dtype own = weight.stored->dtype, wanted = dtype_of(tensor, own);
    const bool vectors = first.shape.size() < 2 && (tensor.stacked || tensor.pieces.size() > 1);
    if (wanted != own || vectors) return join_part(name, tensor, wanted, files_);
    if (is_as_stored(tensor)) return copy_part(name, *weight.stored, map);
    if (tensor.stacked) refuse_stack(tensor);
    if (tensor.pieces.size() > 1) return join_part(name, tensor, own, files_);
    return copy_part(name, Source{first.dense, weight.stored, map});
  }

  /// gpt-oss has the biases of its experts in BF16, whoever else may have widened them.
  Dtype dtype_of(const Assembled& tensor, Dtype own) const {
    const std::optional<ExpertPiece> expert = parse_expert_piece(tensor.pieces[0]->name);
    return source_.checkpoint.gpt_oss && expert && expert->bias && is_dense_float(own) ? Dtype::bf16 : own;
  }

  /// Whether the tensor is a whole stored one: a single piece, or experts that stay as they are.
  bool is_as_stored(const Assembled& tensor) const {
    const Weight& weight = *tensor.pieces[0]->weight;
    if (tensor.pieces.size() == 1 && !tensor.stacked)
      return tensor.pieces[0]->shape == weight.shape() || weight.dense.data == nullptr;
    const Convention* const from = source_.checkpoint.convention;
    const bool same_orientation =
        from->experts != ExpertLayout::apart && format_.experts != ExpertLayout::apart &&
        (from->name == std::string_view("openai")) == (format_.name == std::string_view("openai"));
    return same_orientation && tensor.name == weight.name && tensor.shape == weight.shape() &&
           std::all_of(tensor.pieces.begin(), tensor.pieces.end(),
                       [&](const Piece* piece) { return piece->weight == &weight; });
  }

  const ConvertSource& source_;
  const ModelFiles& files_;
  const Convention& format_;
  ConvertPlan& plan_;
  const MakePart& reencode_;
  std::vector<std::string> left_alone_, bare_names_;
  std::uint64_t parameters_ = 0;
  bool has_head_ = false;
};

}  // namespace

std::string dense_config(const Checkpoint& checkpoint) {
  const std::string& text = checkpoint.files.config;
  if (text.empty()) return "";
  return with_member(with_quantization(transformers_config_of_openai(text), ""), "expert_dtype", "");
}

void plan_convention(const ConvertSource& source, const Convention& format, ConvertPlan& plan,
                     const MakePart& reencode) {
  check_holds(source, format);
  std::vector<Assembled> tensors = assemble(
      source.pieces, [&](const Piece& piece) { return place_of(format, source.checkpoint.gpt_oss, piece); });
  std::sort(tensors.begin(), tensors.end(),
            [](const Assembled& a, const Assembled& b) { return natural_less(a.name, b.name); });
  Planner planner(source, format, plan, reencode);
  for (const Assembled& tensor : tensors) planner.add(tensor);
  planner.finish();
}

}  // namespace mxfp4::job
