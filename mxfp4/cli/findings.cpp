#include "mxfp4/cli/findings.h"

#include <map>

#include <fmt/format.h>

#include "mxfp4/cli/text.h"

namespace mxfp4::cli {
namespace {

constexpr std::uint64_t kMost = 20;  // of one kind
constexpr int kIndent = 13;          // the longest kind and two spaces

}  // namespace

std::string findings_text(const Problems& problems, const Screen& screen) {
  std::string text;
  std::map<ProblemKind, std::uint64_t> seen;
  for (const Problem& problem : problems) {
    if (++seen[problem.kind] > kMost) continue;
    const std::string kind = to_string(problem.kind), message = printable(problem.message);
    text += screen.paint(Ink::bad, kind) + std::string(kIndent - kind.size(), ' ');
    text += screen.terminal ? flow(message, kIndent, screen.width).substr(kIndent) : message + "\n";
  }
  for (const auto& [kind, count] : seen) {
    if (count <= kMost) continue;
    text += fmt::format("{:<{}}and {} more; --json lists all\n", to_string(kind), kIndent,
                        format_count(count - kMost));
  }
  return text;
}

Json findings_json(const Problems& problems) {
  Json list = Json::array();
  for (const Problem& problem : problems) {
    Json entry = {{"kind", to_string(problem.kind)}};
    if (!problem.tensor.empty()) entry["tensor"] = problem.tensor;
    entry["message"] = problem.message;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace mxfp4::cli
