// JSON as a model's files hold it.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace mxfp4 {

/// Deepest nesting that is read: real files stay below 10, and a parser's stack must not be the bound.
inline constexpr int kMaxJsonDepth = 100;

/// Parses a JSON object or array. NaN, Infinity and -Infinity, which Python writes into config files, become
/// null. Throws Error corrupt_file, beginning with `where`.
nlohmann::json parse_json(std::string_view text, std::string_view where);

/// A value as it stands in a message: on one line, and shortened.
std::string shown(const nlohmann::json& value);

}  // namespace mxfp4
