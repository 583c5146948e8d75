#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mxfp4/base/context.h"
#include "mxfp4/base/version.h"
#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/cli/table.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/codec/scale_rule.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::cli {
namespace {

Json named(const auto& table) {
  Json json = Json::array();
  for (const auto& row : table) json.push_back({{"name", row.name}, {"description", row.description}});
  return json;
}

std::string section(const char* title, const auto& table, const Screen& screen) {
  std::size_t name_width = 0;
  for (const auto& row : table) name_width = std::max(name_width, std::string_view(row.name).size());
  std::string text = "\n" + screen.paint(Ink::strong, title) + "\n";
  const int indent = static_cast<int>(name_width) + 4;
  for (const auto& row : table) {
    const std::string wrapped = flow(row.description, indent, screen.prose_width());
    text +=
        fmt::format("  {:<{}}  {}", row.name, name_width, wrapped.substr(static_cast<std::size_t>(indent)));
  }
  return text;
}

class Info : public Verb {
 public:
  void declare(CLI::App& app) override { app.footer("  mxfp4 info\n  mxfp4 info --json"); }

  void run(Console& console) override {
    const Context context;
    if (console.json) {
      Json isas = Json::array();
      for (const Isa isa : built_isas())
        isas.push_back({{"name", to_string(isa)}, {"supported", supported(isa)}});
      return console.print_json(Json{{"version", version()},
                                     {"machine", machine_name()},
                                     {"features", machine_features()},
                                     {"threads", context.threads},
                                     {"isa", to_string(context.isa)},
                                     {"isas", isas},
                                     {"scale_rules", named(kScaleRules)},
                                     {"presets", named(presets())},
                                     {"formats", named(conventions())}});
    }
    if (console.quiet) return;
    const Screen& screen = console.out;
    std::vector<std::string> isas, lacking;
    for (const Isa isa : built_isas()) {
      const std::string name = to_string(isa);
      if (isa == context.isa) {
        isas.push_back(screen.paint(Ink::good, name) + " (in use)");
      } else {
        (supported(isa) ? isas : lacking).push_back(name);
      }
    }
    std::string text = fmt::format("mxfp4 {}\n\n  machine  {}\n  threads  {}\n  kernels  {}\n", version(),
                                   machine_name(), context.threads, fmt::join(isas, ", "));
    if (!lacking.empty()) {
      text += screen.paint(Ink::faint,
                           fmt::format("           not on this machine: {}", fmt::join(lacking, ", "))) +
              "\n";
    }
    text += section("scale rules", kScaleRules, screen) + section("presets", presets(), screen) +
            section("formats", conventions(), screen);
    console.print(text);
  }
};

}  // namespace

std::unique_ptr<Verb> make_info() {
  return std::make_unique<Info>();
}

}  // namespace mxfp4::cli
