// How the rules of a model are reported: report(problems, ProblemKind::dtype, name, "{}: ...", file).
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/problems.h"

namespace mxfp4 {

/// Adds a problem to the list; without one throws it as Error corrupt_file.
template <class... Args>
void report(Problems* problems, ProblemKind kind, std::string_view tensor, fmt::format_string<Args...> format,
            Args&&... args) {
  if (problems == nullptr) fail(ErrorCode::corrupt_file, format, std::forward<Args>(args)...);
  problems->push_back({kind, std::string(tensor), fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace mxfp4
