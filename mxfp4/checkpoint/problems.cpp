#include "mxfp4/checkpoint/problems.h"

namespace mxfp4 {
namespace {

constexpr const char* kNames[] = {
#define MXFP4_PROBLEM_KIND(id, name) name,
#include "mxfp4/checkpoint/problem_kinds.inc"
#undef MXFP4_PROBLEM_KIND
};

}  // namespace

const char* to_string(ProblemKind kind) noexcept {
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace mxfp4
