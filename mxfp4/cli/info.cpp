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
#include "mxfp4/job/convert_job.h"
#include "mxfp4/kernel/device.h"
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

Json devices_json(const kernel::DeviceList& list) {
  Json devices = Json::array();
  for (const kernel::DeviceInfo& device : list.devices) {
    devices.push_back({{"device", to_string(device.device)},
                       {"name", device.name},
                       {"best", device.best},
                       {"why_not", device.refusal.empty() ? Json() : Json(device.refusal)}});
  }
  return devices;
}

/// One line each, and the reasons why there are no more.
std::string devices_text(const kernel::DeviceList& list, const Device& in_use, const Screen& screen) {
  std::string text;
  const auto add = [&](const std::string& line) {
    text += (text.empty() ? "  devices  " : "           ") + line + "\n";
  };
  for (const kernel::DeviceInfo& device : list.devices) {
    const bool used = in_use.backend == device.device.backend &&
                      (in_use.index == device.device.index || (in_use.index == Device::kBest && device.best));
    const std::string line = fmt::format("{}  {}", to_string(device.device), device.name);
    add(!device.refusal.empty() ? screen.paint(Ink::faint, fmt::format("{}: {}", line, device.refusal))
        : used                  ? screen.paint(Ink::good, line) + " (in use)"
                                : line);
  }
  for (const std::string& reason : list.why_none) add(screen.paint(Ink::faint, "none of " + reason));
  return text;
}

/// Those that are no conventions.
std::string formats_of_convert() {
  std::vector<std::string> names = job::convert_formats();
  for (const Convention& convention : conventions()) std::erase(names, convention.name);
  return fmt::format("  convert also writes {}\n", fmt::join(names, ", "));
}

class Info : public Verb {
 public:
  void declare(CLI::App& app) override { app.footer("  mxfp4 info\n  mxfp4 info --json"); }

  void run(Console& console) override {
    const Context context;
    const kernel::DeviceList devices = kernel::list_devices();
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
                                     {"device", to_string(context.device)},
                                     {"devices", devices_json(devices)},
                                     {"why_no_devices", devices.why_none},
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
    text += devices_text(devices, context.device, screen);
    text += section("scale rules", kScaleRules, screen) + section("presets", presets(), screen) +
            section("formats", conventions(), screen) + formats_of_convert();
    console.print(text);
  }
};

}  // namespace

std::unique_ptr<Verb> make_info() {
  return std::make_unique<Info>();
}

}  // namespace mxfp4::cli
