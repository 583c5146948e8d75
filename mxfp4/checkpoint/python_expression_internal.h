// Python's regular expressions, as far as RE2 can hold them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <re2/re2.h>

namespace mxfp4 {

/// Options of every expression here: bounded memory, nothing written to stderr.
RE2::Options quiet_options();

/// An expression that Python's re module would compile. Python and RE2 agree on the rest of the syntax for
/// the ASCII names of modules.
class PythonExpression {
 public:
  /// Throws Error invalid_argument for what Python refuses, unsupported for what RE2 cannot do: lookaround,
  /// backreferences, and the like. Messages name `entry`, where the expression comes from.
  PythonExpression(const std::string& text, std::string_view entry);

  /// re.match: from the start of `name`, to any end.
  bool matches_start(std::string_view name) const;

  /// From the start of `name` to its end, or to just before or just after a dot.
  bool matches_to_boundary(std::string_view name) const;

 private:
  std::unique_ptr<RE2> expression_;
};

}  // namespace mxfp4
