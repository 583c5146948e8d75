#include <map>

#include <fmt/format.h>

#include "mxfp4/cli/chart.h"
#include "mxfp4/cli/collapse.h"
#include "mxfp4/cli/options.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/table.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/job/inspect_job.h"

namespace mxfp4::cli {
namespace {

using job::InspectedTensor;
using job::InspectReport;

struct Sum {
  std::uint64_t tensors = 0, bytes = 0;
};

std::map<std::string, Sum> by_dtype(const InspectReport& report) {
  std::map<std::string, Sum> sums;
  for (const InspectedTensor& tensor : report.tensors) {
    Sum& sum = sums[tensor.dtype];
    ++sum.tensors;
    sum.bytes += tensor.bytes;
  }
  return sums;
}

Json to_json(const InspectReport& report) {
  Json json = {
      {"container", report.container}, {"convention", report.convention}, {"tensors", Json::array()}};
  for (const InspectedTensor& tensor : report.tensors) {
    json["tensors"].push_back({{"name", tensor.name},
                               {"dtype", tensor.dtype},
                               {"shape", tensor.shape},
                               {"bytes", tensor.bytes},
                               {"file", tensor.file}});
  }
  Json dtypes = Json::object();
  for (const auto& [dtype, sum] : by_dtype(report))
    dtypes[dtype] = {{"tensors", sum.tensors}, {"bytes", sum.bytes}};
  json["totals"] = {{"tensors", report.tensors.size()}, {"bytes", report.bytes}, {"by_dtype", dtypes}};
  json["metadata"] = report.metadata;
  if (report.scales) {
    json["scales"] = Json::object();
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if ((*report.scales)[byte] > 0) json["scales"][std::to_string(byte)] = (*report.scales)[byte];
    }
  }
  return json;
}

std::string listing(const InspectReport& report, const Screen& screen) {
  std::vector<Listed> names;
  for (const InspectedTensor& tensor : report.tensors) {
    names.push_back({tensor.name, tensor.dtype + to_string(tensor.shape)});
  }
  Table table({{"tensor"}, {"count", Align::right}, {"dtype"}, {"shape"}, {"size", Align::right}});
  std::string head;
  for (const Line& line : collapse(names)) {
    if (line.head != head && !line.head.empty()) table.heading(line.head);
    head = line.head;
    std::uint64_t bytes = 0;
    for (const std::size_t member : line.members) bytes += report.tensors[member].bytes;
    const InspectedTensor& first = report.tensors[line.members[0]];
    table.row({{fmt::format("{}{}", head.empty() ? "" : "  ", line.tail)},
               {line.members.size() > 1 ? format_count(line.members.size()) : ""},
               {first.dtype},
               {to_string(first.shape)},
               {format_bytes(static_cast<double>(bytes))}});
  }
  return table.text(screen);
}

std::string totals(const InspectReport& report, const Screen& screen) {
  Table table({{"total"}, {"tensors", Align::right}, {"size", Align::right}, {"", Align::right}});
  for (const auto& [dtype, sum] : by_dtype(report)) {
    const auto bytes = static_cast<double>(sum.bytes);
    table.row({{dtype},
               {format_count(sum.tensors)},
               {format_bytes(bytes)},
               {format_percent(bytes, static_cast<double>(report.bytes)), Ink::faint}});
  }
  table.row({{"all", Ink::strong},
             {format_count(report.tensors.size()), Ink::strong},
             {format_bytes(static_cast<double>(report.bytes)), Ink::strong}});
  return table.text(screen);
}

std::string metadata(const InspectReport& report) {
  // Shards usually say the same: told once.
  std::map<std::map<std::string, std::string>, std::vector<std::string>> same;
  for (const auto& [file, values] : report.metadata) same[values].push_back(file);
  std::string text;
  for (const auto& [values, files] : same) {
    text += fmt::format("metadata of {}\n", files.size() == 1 ? files[0] : plural(files.size(), "file"));
    for (const auto& [key, value] : values)
      text += fmt::format("  {}: {}\n", printable(key), printable(value));
  }
  return text;
}

class Inspect : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_path(app, "PATH", request_.path, kAnyModel)->required();
    add_repeated(app, "--tensors", request_.tensors, "PATTERN",
                 "List only what PATTERN names: an exact name, a dotted prefix, a glob, or re:EXPRESSION")
        ->group("What to show");
    app.add_flag("--scales", request_.scales, "Count the scale bytes of MXFP4 weights (reads those tensors)")
        ->group("What to show");
    app.footer(
        "  mxfp4 inspect model\n"
        "  mxfp4 inspect model --tensors 'model.layers.0.*' --scales\n"
        "  mxfp4 inspect model/model.safetensors --json");
  }

  void run(Console& console) override {
    request_.stop = &stop_flag();
    const InspectReport report = job::run_inspect(request_);
    if (console.json) return console.print_json(to_json(report));
    if (console.quiet) return;
    const Screen& screen = console.out;
    std::string text =
        fmt::format("{}  {}{}, {}\n\n", screen.paint(Ink::strong, printable(request_.path.native())),
                    report.convention, report.readable ? "" : " (listed, but not read by this version)",
                    plural(report.files.size(), "file"));
    text += listing(report, screen) + "\n" + totals(report, screen);
    if (!report.metadata.empty()) text += "\n" + metadata(report);
    if (report.scales) {
      text += fmt::format("\n{} of {}\n", screen.paint(Ink::strong, "scale bytes"),
                          plural(report.quantized_weights, "MXFP4 weight"));
      text += scale_chart(*report.scales, screen, 2);
    }
    console.print(text);
  }

 private:
  job::InspectRequest request_;
};

}  // namespace

std::unique_ptr<Verb> make_inspect() {
  return std::make_unique<Inspect>();
}

}  // namespace mxfp4::cli
