// How the library's own .cpp files throw: fail(ErrorCode::io, "{}: {}", path, reason).
#pragma once

#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mxfp4/base/error.h"

namespace mxfp4 {

template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// Throws ErrorCode::io with the system's words for `error` (an errno value): "PATH: cannot VERB: No such
/// file".
[[noreturn]] void fail_io(std::string_view path, std::string_view verb, int error);

}  // namespace mxfp4
