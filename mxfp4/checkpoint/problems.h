// What is wrong with a model that can be read all the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mxfp4 {

/// What a problem, or a difference between two models, is about.
enum class ProblemKind : std::uint8_t {
#define MXFP4_PROBLEM_KIND(id, name) id,
#include "mxfp4/checkpoint/problem_kinds.inc"
#undef MXFP4_PROBLEM_KIND
};

/// "missing", "scale-255", ...
const char* to_string(ProblemKind kind) noexcept;

struct Problem {
  ProblemKind kind = ProblemKind::missing;
  std::string tensor;   ///< its name; empty if this is about no single one
  std::string message;  ///< with file, tensor, place and values
};

/// Rules of a model are checked where it is opened. With a list to add to, everything that breaks one is in
/// it and what can be read is; without one (null), the first is thrown as Error corrupt_file. What leaves
/// nothing to read (a truncated shard, a config that is no JSON) is thrown in any case.
using Problems = std::vector<Problem>;

}  // namespace mxfp4
