// What is wrong with a model, or different in another, as lines.
#pragma once

#include <string>
#include <string_view>

#include "mxfp4/checkpoint/problems.h"
#include "mxfp4/cli/console.h"

namespace mxfp4::cli {

/// A line per problem behind its kind; on a terminal wrapped to its width. Of many of one kind only the first
/// are shown.
std::string findings_text(const Problems& problems, const Screen& screen);

/// [{"kind", "tensor", "message"}]; all of them.
Json findings_json(const Problems& problems);

}  // namespace mxfp4::cli
