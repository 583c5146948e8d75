#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/json_internal.h"

namespace mxfp4 {
namespace {

std::string with_null_for_nonfinite(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t skipped = 0;
    if (!in_string) {
      for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
        if (text.substr(i, word.size()) == word) skipped = word.size();
      }
    }
    if (skipped > 0) {
      result += "null";
      i += skipped - 1;
      continue;
    }
    if (text[i] == '"') in_string = !in_string;
    result += text[i];
    if (in_string && text[i] == '\\' && i + 1 < text.size()) result += text[++i];
  }
  return result;
}

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view where) {
  // The parser takes a zero byte for the end of its input.
  const std::size_t zero = text.find('\0');
  if (zero != text.npos) fail(ErrorCode::corrupt_file, "{}: a zero byte at byte {}", where, zero);
  using Event = nlohmann::json::parse_event_t;
  const auto check_depth = [&](int depth, Event, nlohmann::json&) {
    if (depth > kMaxJsonDepth) {
      fail(ErrorCode::corrupt_file, "{}: JSON nested deeper than {}", where, kMaxJsonDepth);
    }
    return true;
  };
  try {
    return nlohmann::json::parse(with_null_for_nonfinite(text), check_depth);
  } catch (const nlohmann::json::exception& error) {
    // The text begins with "[json.exception.parse_error.101] ".
    std::string_view reason = error.what();
    reason.remove_prefix(std::min(reason.size(), reason.find("] ") + 2));
    fail(ErrorCode::corrupt_file, "{}: {}", where, reason);
  }
}

std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace mxfp4
