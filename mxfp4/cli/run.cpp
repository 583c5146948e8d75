#include "mxfp4/cli/run.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/lost_pages.h"
#include "mxfp4/base/version.h"
#include "mxfp4/cli/help.h"
#include "mxfp4/cli/ranks.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/verb.h"

namespace mxfp4::cli {
namespace {

constexpr int kUsage = 2;
constexpr int kFailure = 3;
constexpr int kSignalBase = 128;

int report(Console& console, Ranks& ranks, int status, ErrorCode code, const std::string& text) {
  console.failure(code, ranks.fail(code, text, status));
  return status;
}

void tell(Console& console, const char* what, const std::string& text) {
  if (console.json) {
    console.print_json(Json{{what, text}});
  } else {
    console.print(text);
  }
}

std::vector<std::string> verb_names() {
  std::vector<std::string> names;
  for (const VerbInfo& verb : verbs()) names.emplace_back(verb.name);
  return names;
}

// Verbs with their options, and which of them was asked for.
struct Parser {
  CLI::App app{"MXFP4: quantise model weights to 4 bits, expand them again, look inside", "mxfp4"};
  std::vector<std::unique_ptr<Verb>> members;
  Verb* chosen = nullptr;

  explicit Parser(Console& console) {
    app.formatter(std::make_shared<HelpFormatter>(console.out));
    app.set_help_flag("-h,--help", "Print this and end")->group("General");
    app.set_version_flag("--version", version(), "Print the version and end")->group("General");
    app.require_subcommand(1);
    app.footer(
        "  mxfp4 synth model --like tiny\n"
        "  mxfp4 quantize model model-mxfp4\n"
        "  mxfp4 inspect model-mxfp4\n"
        "  mxfp4 quantize --help");
    for (const VerbInfo& info : verbs()) {
      CLI::App* const sub = app.add_subcommand(info.name, info.summary);
      members.push_back(info.make());
      Verb* const verb = members.back().get();
      verb->declare(*sub);
      sub->set_help_flag("-h,--help", "Print this and end")->group("General");
      sub->add_flag("--json", console.json, "Print one JSON object to stdout, everything else to stderr")
          ->group("General");
      sub->add_flag("--quiet", console.quiet, "Print no progress and no result, only warnings and errors")
          ->group("General");
      sub->callback([this, verb] { chosen = verb; });
    }
  }
};

// What the parser refuses, in our words where its own are hard to understand.
std::string told(const CLI::ParseError& error, const Parser& parser) {
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    const std::string text = error.what();  // "--scale: 1 required RULE missing"
    return fmt::format("{} takes one value", text.substr(0, text.find(':')));
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> extras = parser.app.remaining(true);
    const std::string all = fmt::format("{}", fmt::join(extras, " "));
    return all.starts_with('-') ? "no option " + all : "too much: " + all;
  }
  return parser.app.get_subcommands().empty() ? "a verb is missing" : error.what();
}

// The verbs that several ranks can share.
std::string verbs_over_ranks(const Parser& parser) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < parser.members.size(); ++i) {
    if (parser.members[i]->over() != Verb::Over::one_rank) names.emplace_back(verbs()[i].name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

int run_verb(std::span<char*> arguments, Console& console, Ranks& ranks) {
  Parser parser(console);
  const std::vector<std::string> names = verb_names();
  const std::string first = arguments.size() < 2 ? "" : arguments[1];
  const bool has_verb = std::find(names.begin(), names.end(), first) != names.end();
  if (first.empty()) {
    console.note(parser.app.help());
    ranks.leave();
    return kUsage;
  }
  const bool asks = first == "-h" || first == "--help" || first == "--version" || first == "--json";
  if (!has_verb && !asks) {
    return report(console, ranks, kUsage, ErrorCode::invalid_argument,
                  fmt::format("no verb '{}'; there are {}", first, fmt::join(names, ", ")));
  }
  try {
    parser.app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::CallForHelp&) {
    tell(console, "help", parser.app.help());
    ranks.leave();
    return 0;
  } catch (const CLI::CallForVersion&) {
    tell(console, "version", console.json ? version() : fmt::format("mxfp4 {}\n", version()));
    ranks.leave();
    return 0;
  } catch (const CLI::ParseError& error) {
    const std::string help = fmt::format("mxfp4 {}{}--help", has_verb ? first : "", has_verb ? " " : "");
    return report(console, ranks, kUsage, ErrorCode::invalid_argument,
                  fmt::format("{} (see {})", told(error, parser), help));
  }
  if (ranks.several()) {
    if (parser.chosen->over() == Verb::Over::one_rank) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{} is nothing for {} ranks; what they can share is: {}", first, ranks.size(),
                              verbs_over_ranks(parser)));
    }
    parser.chosen->join(ranks);
  }
  parser.chosen->run(console);
  ranks.leave();
  return parser.chosen->status();
}

// Another rank's signal ends this one as the usual signal would.
int interrupted_status() {
  return kSignalBase + (stop_signal() != 0 ? stop_signal() : SIGTERM);
}

int status_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::invalid_argument:
      return kUsage;
    case ErrorCode::interrupted:
      return interrupted_status();
    default:
      return kFailure;
  }
}

// A verb and whatever it may throw.
int run_guarded(std::span<char*> arguments, Console& console, Ranks& ranks) {
  try {
    return run_verb(arguments, console, ranks);
  } catch (const Error& error) {
    return report(console, ranks, status_of(error), error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return report(console, ranks, kFailure, ErrorCode::out_of_memory, "out of memory");
  } catch (const std::length_error& error) {
    return report(console, ranks, kFailure, ErrorCode::out_of_memory, error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    return report(console, ranks, kFailure, ErrorCode::io,
                  fmt::format("{}: {}", error.path1().native(), error.code().message()));
  } catch (const std::system_error& error) {
    // What a thread that cannot be started throws; everything else is the system's.
    const bool thread = error.code() == std::errc::resource_unavailable_try_again;
    return report(console, ranks, kFailure, thread ? ErrorCode::out_of_memory : ErrorCode::io,
                  thread ? "out of memory for a thread" : error.what());
  } catch (const std::exception& error) {
    return report(console, ranks, kFailure, ErrorCode::unsupported, error.what());
  }
}

int run_over_ranks(std::span<char*> arguments, Console& console) {
  std::optional<Ranks> ranks;
  try {
    ranks.emplace(console);
  } catch (const Error& error) {  // of MPI, before anybody could tell the others
    console.failure(error.code(), error.what());
    return status_of(error);
  }
  return run_guarded(arguments, console, *ranks);
}

}  // namespace

int run(int argc, char** argv) noexcept {
  try {
    install_signal_handlers();
    survive_lost_pages();
    const std::span arguments(argv, static_cast<std::size_t>(argc));
    Console console;
    // Asked here as well as by the parser, so that what the parser refuses is told as JSON, too.
    console.json = std::any_of(arguments.begin(), arguments.end(),
                               [](const char* a) { return a == std::string_view("--json"); });
    return run_over_ranks(arguments, console);
  } catch (const ClosedPipe&) {
    return kSignalBase + SIGPIPE;
  } catch (...) {  // not even the error could be told
    return kFailure;
  }
}

}  // namespace mxfp4::cli
