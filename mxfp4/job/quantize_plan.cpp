#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/experts.h"
#include "mxfp4/checkpoint/selection.h"
#include "mxfp4/job/choice.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/job/quantize_plan_internal.h"

namespace mxfp4::job {
namespace {

constexpr std::string_view kWeight = ".weight", kOutputHead = "lm_head";
constexpr double kBitsPerWeight = 4.0 + 8.0 / kBlockSize;

bool stacks_experts(const Convention& format) {
  return format.experts != ExpertLayout::single;
}

std::string described(const Recipe& recipe) {
  static_assert(sizeof(Recipe) == 6);  // all of it is told
  constexpr const char* kTies[] = {"even", "zero", "away"};
  constexpr const char* kNonFinite[] = {"error", "nan_block", "saturate", "preset"};
  constexpr const char* kZeros[] = {"kept", "never", "exact", "all"};
  return fmt::format("{}, ties {}, nonfinite {}, zeros {}, origin {}{}", info(recipe.scale).name,
                     kTies[static_cast<int>(recipe.ties)], kNonFinite[static_cast<int>(recipe.nonfinite)],
                     kZeros[static_cast<int>(recipe.zeros)], static_cast<int>(recipe.origin),
                     recipe.through_bf16 ? ", through bf16" : "");
}

const Convention* choose_format(const QuantizeRequest& request, const Checkpoint& checkpoint) {
  const Convention* const wanted = request.format.empty() ? nullptr : find_convention(request.format);
  if (!request.format.empty() && (wanted == nullptr || wanted->own_files)) {
    fail(ErrorCode::invalid_argument, "--format {}: unknown; there are {}", request.format,
         convention_names());
  }
  if (checkpoint.has_quantized) {
    if (wanted != nullptr && wanted != checkpoint.convention) {
      fail(ErrorCode::unsupported, "{}: its MXFP4 weights are stored as {}; quantize keeps that format",
           request.in.native(), checkpoint.convention->name);
    }
    return checkpoint.convention;
  }
  if (wanted != nullptr) {
    if (wanted->experts == ExpertLayout::apart || wanted == find_convention("deepseek-v4")) {
      fail(ErrorCode::unsupported, "--format {}: quantize does not write it; convert makes it of the others",
           wanted->name);
    }
    const Convention* const openai = find_convention("openai");
    const bool named_otherwise = (wanted == openai) != (checkpoint.convention == openai);
    if (wanted->experts_only ? !checkpoint.gpt_oss || named_otherwise
                             : !stacks_experts(*wanted) && checkpoint.convention == openai) {
      fail(ErrorCode::unsupported, "--format {}: {} is no model under the names of that format", wanted->name,
           request.in.native());
    }
    return wanted;
  }
  if (checkpoint.convention != nullptr) return checkpoint.convention;
  return find_convention(
      checkpoint.files.is_directory && !checkpoint.files.config.empty() ? "compressed-tensors" : "linear");
}

/// Builds a plan tensor by tensor.
class Planner {
 public:
  Planner(const QuantizeRequest& request, QuantizePlan& plan) : request_(request), plan_(plan) {}

  void add(const Weight& weight, Decision decision) {
    restrict_to_format(weight, decision);
    PlannedTensor tensor;
    tensor.name = weight.stored->name;
    tensor.reason = decision.keep_reason;
    tensor.quantized = tensor.reason.empty();
    tensor.dtype = weight.stored->dtype;
    tensor.shape = weight.stored->shape;
    tensor.recipe = decision.recipe;
    for (const StoredTensor* const stored : weight.tensors()) tensor.bytes_in += stored->bytes.size();
    const std::size_t first_part = plan_.output.parts.size();
    plan_.stats.emplace_back();
    if (tensor.quantized) {
      tensor.name = weight.name;
      tensor.shape = weight.dense.shape;
      tensor.bits_per_weight = kBitsPerWeight;
      tensor.weighted = quantize(weight, decision.recipe);
    } else {
      keep(weight);
    }
    for (std::size_t part = first_part; part < plan_.output.parts.size(); ++part) {
      for (const safetensors::TensorSpec& spec : plan_.output.parts[part].outputs)
        tensor.bytes_out += spec.bytes();
    }
    const auto elements = static_cast<double>(element_count(tensor.shape));
    if (!tensor.quantized && elements > 0)
      tensor.bits_per_weight = 8.0 * static_cast<double>(tensor.bytes_out) / elements;
    plan_.output.traits.emplace_back(fmt::format("'{}'", tensor.name),
                                     tensor.quantized ? described(tensor.recipe) : "kept");
    plan_.report.bytes_in += tensor.bytes_in;
    plan_.report.bytes_out += tensor.bytes_out;
    plan_.report.tensors.push_back(std::move(tensor));
  }

  /// What can be said once every weight is added: config.json, notes in the files, contradictions.
  void finish() {
    check_experts_together();
    if (request_.reference.empty() == false && references_found_ == 0) {
      fail(ErrorCode::invalid_argument,
           "--reference {}: has an MXFP4 weight for none of the tensors to quantise",
           request_.reference.native());
    }
    if (plan_.importance && importances_found_ == 0) {
      fail(ErrorCode::invalid_argument,
           "--imatrix {}: has an entry for none of the tensors to quantise by 'optimal'",
           request_.imatrix.native());
    }
    if (!bare_names_.empty()) plan_.output.metadata[kBareNamesKey] = nlohmann::json(bare_names_).dump();
    const std::string& config = plan_.checkpoint.files.config;
    if (config.empty()) return;
    if (plan_.checkpoint.has_quantized) {
      plan_.output.texts["config.json"] = config;
    } else {
      for (const auto& [name, text] : plan_.format->texts({config, left_alone()}))
        plan_.output.texts[name] = text;
    }
  }

 private:
  /// Keeps what the format cannot hold quantised; refuses it if the user has asked for it by name.
  void restrict_to_format(const Weight& weight, Decision& decision) const {
    if (!decision.keep_reason.empty() || stacked_experts(plan_.checkpoint, weight)) return;
    if (plan_.format->experts_only) {
      decision.keep_reason = fmt::format("{} quantises stacked experts only", plan_.format->name);
    } else if (!stacks_experts(*plan_.format) && weight.dense.rank() != 2) {
      decision.keep_reason = fmt::format("{} quantises matrices only", plan_.format->name);
    } else {
      return;
    }
    if (decision.exact) fail(ErrorCode::invalid_argument, "'{}': {}", weight.name, decision.keep_reason);
  }

  /// Whether columns have weights.
  bool quantize(const Weight& weight, const Recipe& recipe) {
    const Hints hints = {reference_of(weight), importance_of(weight, recipe)};
    const std::optional<StackedExperts> experts = stacked_experts(plan_.checkpoint, weight);
    if (!stacks_experts(*plan_.format) && experts) {
      split(weight, *experts, hints, [&](std::string name, const Source& source, const Hints& its_hints) {
        add_quantized(std::move(name), source, recipe, its_hints);
      });
    } else {
      add_quantized(weight.name, source_of(weight), recipe, hints);
    }
    return hints.importance.values != nullptr;
  }

  void keep(const Weight& weight) {
    const MappedFile* const map = map_of(plan_.checkpoint.files, *weight.stored);
    if (weight.is_quantized() || weight.other != nullptr) {
      for (const StoredTensor* const tensor : weight.tensors()) {
        plan_.output.parts.push_back(
            copy_part(tensor->name, *tensor, map_of(plan_.checkpoint.files, *tensor)));
      }
      return;
    }
    const bool linear = is_linear_weight(weight);
    const std::optional<StackedExperts> experts = stacked_experts(plan_.checkpoint, weight);
    if (experts && !stacks_experts(*plan_.format) && !weight.orientation_unknown) {
      split(weight, *experts, {}, [&](std::string name, const Source& source, const Hints&) {
        if (linear) left_alone_.push_back(name.substr(0, name.size() - kWeight.size()));
        plan_.output.parts.push_back(copy_part(std::move(name), source));
      });
      return;
    }
    if (linear) left_alone_.emplace_back(weight.module());
    plan_.output.parts.push_back(copy_part(kept_name(weight, experts), *weight.stored, map));
  }

  std::string kept_name(const Weight& weight, const std::optional<StackedExperts>& experts) const {
    if (plan_.format == find_convention("linear") && experts && experts->bias &&
        weight.name.ends_with("_bias")) {
      return weight.name.substr(0, weight.name.size() - 5) + ".bias";
    }
    return weight.name;
  }

  /// Calls add(name, source, hints) for each matrix (or bias) that stacked experts fall into.
  template <class Add>
  void split(const Weight& weight, const StackedExperts& experts, const Hints& hints, const Add& add) {
    const Source whole = source_of(weight);
    for (std::int64_t expert = 0; expert < experts.experts; ++expert) {
      for (const ExpertRows& rows : experts.parts) {
        Source part = whole;
        part.view = whole.view[expert].slice(0, rows.begin, rows.end, rows.step);
        Hints its = hints;
        if (its.reference.data != nullptr)
          its.reference = its.reference[expert].slice(0, rows.begin, rows.end, rows.step);
        if (its.importance.rows > 0) {
          its.importance.values += expert * weight.dense.shape.back();
          its.importance.rows = 0;
        }
        add(experts.name(expert, rows), part, its);
      }
    }
  }

  void add_quantized(std::string name, const Source& source, const Recipe& recipe, const Hints& hints) {
    std::string module = name;
    if (module.ends_with(kWeight)) {
      module.resize(module.size() - kWeight.size());
    } else if (plan_.format == find_convention("linear")) {
      bare_names_.push_back(name);  // or a reader would take it for name.weight
    }
    const Convention& format = *plan_.format;
    Shape scales = source.view.shape;
    scales.back() /= kBlockSize;
    plan_.stats.back().push_back(std::make_shared<StatsCollector>());
    plan_.output.parts.push_back(quantize_part(
        {module + format.codes_suffix, format.codes_dtype, format.shape_of_codes(source.view.shape)},
        {module + format.scales_suffix, format.scales_dtype, scales}, source, recipe, hints,
        plan_.stats.back().back()));
  }

  Source source_of(const Weight& weight) const {
    return {weight.dense, weight.stored, map_of(plan_.checkpoint.files, *weight.stored)};
  }

  /// The scale bytes [..., N, K / 32] of the weight in the reference checkpoint, or an empty view.
  DenseView reference_of(const Weight& weight) {
    if (plan_.reference == nullptr) return {};
    const Weight* const found = plan_.reference->find(weight.name);
    if (found == nullptr || !found->is_quantized()) return {};
    if (found->quantized.shape != weight.dense.shape) {
      fail(ErrorCode::invalid_argument, "--reference {}: '{}' has shape {}, but {} in {}",
           request_.reference.native(), weight.name, to_string(found->quantized.shape),
           to_string(weight.dense.shape), request_.in.native());
    }
    Shape shape = found->quantized.shape;
    shape.back() /= kBlockSize;
    ++references_found_;
    return dense_view(found->quantized.scales, Dtype::u8, shape);
  }

  /// The weights of the weight's columns; none without --imatrix, without an entry, and under other rules.
  kernel::ColumnWeights importance_of(const Weight& weight, const Recipe& recipe) {
    if (!plan_.importance || recipe.scale != ScaleRule::optimal) return {};
    const DenseView& view = weight.dense;
    const std::int64_t experts = view.rank() > 2 ? view.shape[0] : 0;
    const std::span<const float> values = plan_.importance->find(weight.name, experts, view.shape.back());
    if (values.empty()) return {};
    ++importances_found_;
    const bool shared = static_cast<std::int64_t>(values.size()) == view.shape.back();
    return {values.data(),
            shared ? 0 : static_cast<std::size_t>(element_count(view.shape) / view.shape.back() / experts),
            0};
  }

  /// Modules to name in the config as left alone. An output head that shares the embedding's tensor is one,
  /// too.
  std::vector<std::string> left_alone() const {
    std::vector<std::string> modules = left_alone_;
    const bool has_head =
        std::any_of(plan_.checkpoint.weights.begin(), plan_.checkpoint.weights.end(),
                    [](const Weight& weight) { return weight.module().ends_with(kOutputHead); });
    if (plan_.checkpoint.config.tied_embeddings && !has_head) modules.emplace_back(kOutputHead);
    return modules;
  }

  /// gpt-oss's readers ask about the experts of a layer as a whole.
  void check_experts_together() const {
    if (!plan_.format->experts_only) return;
    std::map<std::string, const PlannedTensor*> seen;
    for (std::size_t i = 0; i < plan_.report.tensors.size(); ++i) {
      const PlannedTensor& tensor = plan_.report.tensors[i];
      const std::optional<StackedExperts> experts =
          stacked_experts(plan_.checkpoint, plan_.checkpoint.weights[i]);
      if (!experts || experts->bias) continue;
      const bool mxfp4 = tensor.quantized || plan_.checkpoint.weights[i].is_quantized();
      seen.emplace(experts->prefix + (mxfp4 ? "+" : "-"), &tensor);
      const auto other = seen.find(experts->prefix + (mxfp4 ? "-" : "+"));
      if (other != seen.end()) {
        const PlannedTensor& kept = mxfp4 ? *other->second : tensor;
        fail(ErrorCode::invalid_argument,
             "'{}' and '{}': {} stores the experts of a layer either all quantised or not, but '{}' is kept: "
             "{}",
             other->second->name, tensor.name, plan_.format->name, kept.name, kept.reason);
      }
    }
  }

  const QuantizeRequest& request_;
  QuantizePlan& plan_;
  std::vector<std::string> left_alone_, bare_names_;
  std::size_t references_found_ = 0, importances_found_ = 0;
};

}  // namespace

QuantizePlan make_plan(const QuantizeRequest& request) {
  QuantizePlan plan;
  plan.checkpoint = open_checkpoint(request.in, request.format == "gpt-oss" ? request.format : "");
  check_readable(plan.checkpoint);
  if (!plan.checkpoint.other_format.empty()) {
    fail(ErrorCode::unsupported, "{}: its weights are quantised as {}; dequantize makes a model that can be",
         request.in.native(), plan.checkpoint.other_format);
  }
  const Convention* const stored = plan.checkpoint.convention;
  if (plan.checkpoint.files.container != kSafetensors || (stored != nullptr && stored->own_files)) {
    fail(ErrorCode::unsupported, "{}: quantize reads no {}; convert makes another model of it",
         request.in.native(), plan.checkpoint.convention_name());
  }
  check_kinds(plan.checkpoint.files, request.out);
  if (!request.reference.empty()) {
    plan.reference = std::make_unique<Checkpoint>(open_checkpoint(request.reference));
    check_readable(*plan.reference);
  }
  plan.format = choose_format(request, plan.checkpoint);
  plan.report.format = plan.format->name;
  plan.output = begin_output(plan.checkpoint.files, plan.checkpoint.has_quantized);
  plan.output.traits.emplace_back("--format", plan.format->name);
  plan.output.traits.emplace_back("the recipe", described(request.recipe));
  if (plan.reference != nullptr) {
    for (const TensorFilePtr& file : plan.reference->files.files) plan.output.inputs.push_back(&file->map);
  }
  for (const LeftBehind& left : plan.checkpoint.files.left_behind) {
    plan.report.left_behind.push_back(fmt::format("{} ({})", left.path.native(), left.reason));
  }
  if (!request.imatrix.empty()) {
    plan.importance = ImportanceMatrix::open(request.imatrix);
    plan.output.traits.emplace_back("--imatrix", to_string(stamp_of(request.imatrix)));
  }
  Chooser chooser(request, plan.checkpoint);
  Planner planner(request, plan);
  for (const Weight& weight : plan.checkpoint.weights) planner.add(weight, chooser.decide(weight));
  chooser.check_all_matched();
  planner.finish();
  return plan;
}

}  // namespace mxfp4::job
