#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/python_expression_internal.h"

namespace mxfp4 {
namespace {

[[noreturn]] void refuse(ErrorCode code, std::string_view entry, std::string_view reason) {
  const char* const why = code == ErrorCode::unsupported ? "not supported: " : "";
  fail(code, "regular expression '{}': {}{}", entry, why, reason);
}

// "(?i)" and its like, which Python wants at the very start.
bool is_flags(std::string_view text) {
  const std::size_t end = text.find_first_not_of("aiLmsux", 2);
  return text.starts_with("(?") && end > 2 && end != std::string_view::npos && text[end] == ')';
}

// Where the two languages part without RE2 noticing, in the direction that would change what a list means.
void check_dialect(std::string_view text, std::string_view entry) {
  bool in_set = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (rest[0] == '\\') {
      if (rest.size() > 1 && std::string_view("QECpPz").find(rest[1]) != std::string_view::npos) {
        refuse(ErrorCode::invalid_argument, entry, fmt::format("no such escape: {}", rest.substr(0, 2)));
      }
      ++i;
    } else if (in_set) {
      if (rest.starts_with("[:")) refuse(ErrorCode::unsupported, entry, "[: inside a set");
      in_set = rest[0] != ']';
    } else if (rest[0] == '[') {
      in_set = true;
      // A ] that comes first is one of the set.
      i += rest.starts_with("[^]") ? 2 : rest.starts_with("[^") || rest.starts_with("[]") ? 1 : 0;
    } else if (rest.starts_with("{,")) {
      refuse(ErrorCode::unsupported, entry, "a repetition without a lower bound");
    } else if (rest.starts_with("(?U")) {
      refuse(ErrorCode::invalid_argument, entry, "no such group: (?U");
    } else if (i > 0 && is_flags(rest)) {
      refuse(ErrorCode::invalid_argument, entry, "flags after the start");
    }
  }
}

// What RE2 refused: Python's own mistake, or something that only Python can do.
ErrorCode code_of(const RE2& expression) {
  const std::string& culprit = expression.error_arg();
  switch (expression.error_code()) {
    case RE2::ErrorBadPerlOp:  // (?z is unknown to Python as well; (?=a) and many others are not
      return culprit.size() > 2 && std::string_view("=!<>(#PaLux").find(culprit[2]) != std::string_view::npos
                 ? ErrorCode::unsupported
                 : ErrorCode::invalid_argument;
    case RE2::ErrorBadEscape:
      return culprit.size() > 1 &&
                     std::string_view("123456789ZuUN").find(culprit[1]) != std::string_view::npos
                 ? ErrorCode::unsupported
                 : ErrorCode::invalid_argument;
    case RE2::ErrorRepeatOp:  // a++ is possessive, a** is nothing
      return culprit.ends_with('+') ? ErrorCode::unsupported : ErrorCode::invalid_argument;
    case RE2::ErrorRepeatSize:
    case RE2::ErrorPatternTooLarge:
      return ErrorCode::unsupported;
    default:
      return ErrorCode::invalid_argument;
  }
}

}  // namespace

RE2::Options quiet_options() {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(std::int64_t{1} << 20);
  return options;
}

PythonExpression::PythonExpression(const std::string& text, std::string_view entry) {
  check_dialect(text, entry);
  expression_ = std::make_unique<RE2>(text, quiet_options());
  if (!expression_->ok()) refuse(code_of(*expression_), entry, expression_->error());
}

bool PythonExpression::matches_start(std::string_view name) const {
  return expression_->Match({name.data(), name.size()}, 0, name.size(), RE2::ANCHOR_START, nullptr, 0);
}

bool PythonExpression::matches_to_boundary(std::string_view name) const {
  if (!matches_start(name)) return false;
  const auto matches_all_of = [&](std::size_t length) {
    return expression_->Match({name.data(), name.size()}, 0, length, RE2::ANCHOR_BOTH, nullptr, 0);
  };
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    if (matches_all_of(dot) || matches_all_of(dot + 1)) return true;
  }
  return matches_all_of(name.size());
}

}  // namespace mxfp4
