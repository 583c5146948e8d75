#include "mxfp4/cli/verb.h"

namespace mxfp4::cli {

#define MXFP4_VERB(name, summary) std::unique_ptr<Verb> make_##name();
#include "mxfp4/cli/verbs.inc"
#undef MXFP4_VERB

namespace {

constexpr VerbInfo kVerbs[] = {
#define MXFP4_VERB(name, summary) {#name, summary, &make_##name},
#include "mxfp4/cli/verbs.inc"
#undef MXFP4_VERB
};

}  // namespace

std::span<const VerbInfo> verbs() noexcept {
  return kVerbs;
}

}  // namespace mxfp4::cli
