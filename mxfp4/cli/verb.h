// The verbs of the tool: a table, one row each.
#pragma once

#include <memory>
#include <span>

#include <CLI/CLI.hpp>

#include "mxfp4/cli/console.h"
#include "mxfp4/cli/ranks.h"

namespace mxfp4::cli {

/// One verb. declare() binds options to members, the parser fills them, run() does the work.
class Verb {
 public:
  virtual ~Verb() = default;
  /// Declares positionals, options and examples. The object outlives `app`.
  virtual void declare(CLI::App& app) = 0;
  /// Does it; prints its result to `console`. Whatever fails is thrown.
  virtual void run(Console& console) = 0;
  /// How it runs on several ranks: not at all, as a team that shares the work, or by what they exchange.
  enum class Over { one_rank, team, ranks };
  virtual Over over() const noexcept { return Over::one_rank; }
  /// Called before run() on several ranks.
  virtual void join(Ranks&) {}
  /// Of the tool after run(): 0, or 1 if the result is a no.
  virtual int status() const noexcept { return 0; }
};

struct VerbInfo {
  const char* name;
  const char* summary;
  std::unique_ptr<Verb> (*make)();
};

/// Every verb, in the order of --help.
std::span<const VerbInfo> verbs() noexcept;

}  // namespace mxfp4::cli
