#include "mxfp4/job/choice.h"

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/selection.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::job {
namespace {

// Why no rule can quantise the weight; empty if one can.
std::string impossible(const Weight& weight) {
  if (weight.is_quantized()) return "already quantised";
  const StoredTensor& stored = *weight.stored;
  if (!is_dense_float(stored.dtype))
    return fmt::format("{} is not F32, BF16 or F16", to_string(stored.dtype));
  if (weight.orientation_unknown)
    return "stacked experts, [E, N, K] or [E, K, N]: --format gpt-oss takes the latter";
  if (weight.dense.rank() < 2) return fmt::format("{}-D", weight.dense.rank());
  const std::int64_t columns = weight.dense.shape.back();
  if (columns == 0) return "K = 0: no elements";
  if (columns % kBlockSize != 0) return fmt::format("K = {} is not a multiple of {}", columns, kBlockSize);
  return "";
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

bool Chooser::UserPattern::names(const Weight& weight) {
  const bool named = pattern.matches(weight.name) || pattern.matches(weight.stored->name);
  matched = matched || named;
  return named;
}

bool Chooser::UserPattern::is_exact(const Weight& weight) const {
  return pattern.text() == weight.name || pattern.text() == weight.module() ||
         pattern.text() == weight.stored->name;
}

Chooser::Chooser(const QuantizeRequest& request, const Checkpoint& checkpoint)
    : checkpoint_(checkpoint), recipe_(request.recipe) {
  for (const std::string& text : request.include)
    include_.push_back({Pattern(text), "--include " + text, {}});
  for (const std::string& text : request.exclude)
    exclude_.push_back({Pattern(text), "--exclude " + text, {}});
  for (const TensorRule& rule : request.tensor_rules) {
    const std::size_t equals = rule.text.rfind('=');
    if (equals == std::string::npos || equals == 0) {
      fail(ErrorCode::invalid_argument, "{}: '{}' is not PATTERN=RULE or PATTERN=keep", rule.origin,
           rule.text);
    }
    const std::string name = trimmed(rule.text.substr(equals + 1));
    const std::optional<ScaleRule> scale = parse_scale_rule(name);
    if (!scale && name != "keep") {
      fail(ErrorCode::invalid_argument, "{}: '{}' is neither a scale rule nor 'keep'", rule.origin, name);
    }
    rules_.push_back({Pattern(trimmed(rule.text.substr(0, equals))), rule.origin + " " + rule.text, scale});
  }
  const ModelConfig& config = checkpoint.config;
  if (config.left_alone) left_alone_.emplace(config.quant_method, *config.left_alone);
}

Decision Chooser::decide(const Weight& weight) {
  // Every pattern is asked, so that each is known to name something.
  const UserPattern* rule = nullptr;
  for (UserPattern& pattern : rules_) {
    if (pattern.names(weight)) rule = &pattern;
  }
  const UserPattern* excluded = nullptr;
  for (UserPattern& pattern : exclude_) {
    if (pattern.names(weight)) excluded = &pattern;
  }
  const UserPattern* included = nullptr;
  bool exact = rule != nullptr && rule->is_exact(weight);
  for (UserPattern& pattern : include_) {
    if (!pattern.names(weight)) continue;
    included = &pattern;
    exact = exact || pattern.is_exact(weight);
  }

  Decision decision{recipe_, impossible(weight), exact};
  if (!decision.keep_reason.empty()) return decision;
  if (rule != nullptr) {
    if (!rule->rule) return {recipe_, "kept: " + rule->origin};
    decision.recipe.scale = *rule->rule;
  } else if (excluded != nullptr) {
    return {recipe_, "excluded: " + excluded->origin};
  } else if (!include_.empty() && included == nullptr) {
    return {recipe_, "not named by --include"};
  }
  const bool asked_for = rule != nullptr || included != nullptr;
  if (!asked_for && left_alone_ && left_alone_->contains(weight.module())) {
    decision.keep_reason = "left alone by the model's own config";
  } else if (!exact && checkpoint_.files.is_directory) {
    decision.keep_reason = default_keep_reason(checkpoint_, weight);
  }
  return decision;
}

void Chooser::check_all_matched() const {
  for (const auto* patterns : {&include_, &exclude_, &rules_}) {
    for (const UserPattern& pattern : *patterns) {
      if (!pattern.matched) {
        fail(ErrorCode::invalid_argument, "{}: no tensor of {} has such a name", pattern.origin,
             checkpoint_.files.path.native());
      }
    }
  }
}

}  // namespace mxfp4::job
