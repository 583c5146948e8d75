#include "mxfp4/checkpoint/module_list.h"

#include <algorithm>
#include <unordered_set>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/glob_internal.h"
#include "mxfp4/checkpoint/python_expression_internal.h"

namespace mxfp4 {

/// A list in one project's language.
class ModuleMatcher {
 public:
  virtual ~ModuleMatcher() = default;
  virtual bool contains(std::string_view module, std::string_view module_class) const = 0;
};

namespace {

using Entries = std::vector<std::string>;

constexpr std::string_view kExpression = "re:";

struct Fused {
  std::string_view name;
  std::vector<std::string_view> parts;
};

const std::vector<Fused>& fused_modules() {
  static const std::vector<Fused> table = {{"qkv_proj", {"q_proj", "k_proj", "v_proj"}},
                                           {"gate_up_proj", {"gate_proj", "up_proj"}}};
  return table;
}

// transformers, should_convert_module: an expression that reaches from the start to the end of a part of the
// name, or a suffix.
class TransformersList final : public ModuleMatcher {
 public:
  explicit TransformersList(const Entries& entries) : suffixes_(entries) {
    for (const std::string& entry : entries) expressions_.emplace_back("(?:" + entry + ")", entry);
  }

  bool contains(std::string_view module, std::string_view) const override {
    for (const std::string_view parameter : {".gate_up_proj", ".down_proj"}) {
      const std::string_view holder =
          module.substr(0, module.size() - std::min(module.size(), parameter.size()));
      if (module.ends_with(parameter) && holder.ends_with(".experts")) module = holder;
    }
    for (std::size_t i = 0; i < suffixes_.size(); ++i) {
      if (module.ends_with(suffixes_[i]) || expressions_[i].matches_to_boundary(module)) return true;
    }
    return false;
  }

 private:
  Entries suffixes_;
  std::vector<PythonExpression> expressions_;
};

// compressed-tensors, is_match: the name, an expression from the start of the name, or a class the module is
// derived from.
class CompressedTensorsList final : public ModuleMatcher {
 public:
  explicit CompressedTensorsList(const Entries& entries) : names_(entries.begin(), entries.end()) {
    for (const std::string& entry : entries) {
      if (entry.starts_with(kExpression)) expressions_.emplace_back(entry.substr(kExpression.size()), entry);
    }
  }

  bool contains(std::string_view module, std::string_view module_class) const override {
    const std::vector<std::string> parts = fused_parts(module);
    return names_class(module_class) || names(std::string(module)) ||
           std::any_of(parts.begin(), parts.end(), [&](const std::string& part) { return names(part); });
  }

 private:
  bool names(const std::string& module) const {
    return names_.count(module) > 0 ||
           std::any_of(expressions_.begin(), expressions_.end(),
                       [&](const PythonExpression& expression) { return expression.matches_start(module); });
  }

  bool names_class(std::string_view module_class) const {
    if (names_.count(std::string(module_class)) > 0 || names_.count("Module") > 0) return true;
    return module_class.starts_with("Conv") && names_.count("_ConvNd") > 0;
  }

  std::unordered_set<std::string> names_;
  std::vector<PythonExpression> expressions_;
};

// Quark and ModelOpt: globs over the whole name.
class GlobList final : public ModuleMatcher {
 public:
  explicit GlobList(const Entries& entries) {
    for (const std::string& entry : entries) {
      if (has_glob(entry)) {
        globs_.push_back(entry);
      } else {
        names_.insert(entry);
      }
    }
  }

  bool contains(std::string_view module, std::string_view) const override {
    return names_.count(std::string(module)) > 0 ||
           std::any_of(globs_.begin(), globs_.end(),
                       [&](const std::string& glob) { return glob_matches(glob, module); });
  }

 private:
  std::unordered_set<std::string> names_;
  Entries globs_;
};

// vLLM's ignored_layers.
class PatternList final : public ModuleMatcher {
 public:
  explicit PatternList(const Entries& entries) {
    for (const std::string& entry : entries) {
      if (entry.starts_with(kExpression)) PythonExpression(entry.substr(kExpression.size()), entry);
      patterns_.emplace_back(entry);
    }
  }

  bool contains(std::string_view module, std::string_view) const override {
    if (names(module)) return true;
    const std::vector<std::string> parts = fused_parts(module);
    const auto count =
        std::count_if(parts.begin(), parts.end(), [&](const std::string& part) { return names(part); });
    if (count != 0 && count != static_cast<std::ptrdiff_t>(parts.size())) {
      fail(ErrorCode::invalid_argument,
           "module '{}' joins {}, but the list of modules to leave alone names only {} of these", module,
           fmt::join(parts, ", "), count);
    }
    return count != 0;
  }

 private:
  bool names(std::string_view module) const {
    return std::any_of(patterns_.begin(), patterns_.end(),
                       [&](const Pattern& pattern) { return pattern.matches(module); });
  }

  std::vector<Pattern> patterns_;
};

}  // namespace

ModuleList::ModuleList(std::string_view quant_method, const std::vector<std::string>& entries) {
  if (quant_method == "mxfp4") {
    matcher_ = std::make_unique<TransformersList>(entries);
  } else if (quant_method == "compressed-tensors") {
    matcher_ = std::make_unique<CompressedTensorsList>(entries);
  } else if (quant_method == "quark" || quant_method == "modelopt") {
    matcher_ = std::make_unique<GlobList>(entries);
  } else {
    matcher_ = std::make_unique<PatternList>(entries);
  }
}

ModuleList::ModuleList(ModuleList&&) noexcept = default;
ModuleList& ModuleList::operator=(ModuleList&&) noexcept = default;
ModuleList::~ModuleList() = default;

bool ModuleList::contains(std::string_view module, std::string_view module_class) const {
  return matcher_->contains(module, module_class);
}

std::vector<std::string> fused_parts(std::string_view module) {
  std::vector<std::string> parts;
  for (const Fused& fused : fused_modules()) {
    if (!module.ends_with(fused.name)) continue;
    const std::string_view stem = module.substr(0, module.size() - fused.name.size());
    if (!stem.empty() && !stem.ends_with('.')) continue;
    for (const std::string_view part : fused.parts) parts.push_back(std::string(stem) + std::string(part));
  }
  return parts;
}

}  // namespace mxfp4
