// Patterns that name tensors and modules.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace mxfp4 {

/// A pattern of this library's own options (and of vLLM's ignored_layers): an exact name, a dotted prefix, a
/// glob (* ? [..]), or "re:" and an RE2 expression that the whole name must match.
class Pattern {
 public:
  /// Throws Error invalid_argument for an empty pattern or a bad expression.
  explicit Pattern(std::string text);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  const std::string& text() const noexcept { return text_; }

  /// Whether it names the tensor `name`, or the module that the tensor belongs to (`name` without its last
  /// part when that is "weight").
  bool matches(std::string_view name) const;

 private:
  struct Expression;
  std::string text_;
  std::unique_ptr<Expression> expression_;
};

}  // namespace mxfp4
