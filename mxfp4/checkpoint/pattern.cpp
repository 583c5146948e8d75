#include "mxfp4/checkpoint/pattern.h"

#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/glob_internal.h"
#include "mxfp4/checkpoint/python_expression_internal.h"

namespace mxfp4 {
namespace {

constexpr std::string_view kExpression = "re:";

// `prefix` itself, or something below it.
bool is_at_or_below(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return false;
  return name.size() == prefix.size() || prefix.ends_with('.') || name[prefix.size()] == '.';
}

}  // namespace

struct Pattern::Expression {
  RE2 re2;
};

Pattern::Pattern(std::string text) : text_(std::move(text)) {
  if (text_.empty()) fail(ErrorCode::invalid_argument, "a pattern is empty");
  if (!text_.starts_with(kExpression)) return;
  const std::string_view expression = std::string_view(text_).substr(kExpression.size());
  expression_ = std::unique_ptr<Expression>(
      new Expression{RE2({expression.data(), expression.size()}, quiet_options())});
  if (!expression_->re2.ok()) {
    fail(ErrorCode::invalid_argument, "pattern '{}': {}", text_, expression_->re2.error());
  }
}

Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

bool Pattern::matches(std::string_view name) const {
  const auto matches_one = [&](std::string_view candidate) {
    if (expression_) return RE2::FullMatch({candidate.data(), candidate.size()}, expression_->re2);
    return is_at_or_below(candidate, text_) || (has_glob(text_) && glob_matches(text_, candidate));
  };
  constexpr std::string_view kWeight = ".weight";
  return matches_one(name) ||
         (name.ends_with(kWeight) && matches_one(name.substr(0, name.size() - kWeight.size())));
}

}  // namespace mxfp4
