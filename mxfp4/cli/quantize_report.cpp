#include "mxfp4/cli/quantize_report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mxfp4/cli/chart.h"
#include "mxfp4/cli/collapse.h"
#include "mxfp4/cli/table.h"
#include "mxfp4/cli/text.h"

namespace mxfp4::cli {
namespace {

using job::PlannedTensor;
using job::QuantizeReport;
using job::QuantizeRequest;

constexpr std::size_t kWorst = 10;
constexpr std::size_t kNames = 12;  // lines of names under one reason
constexpr int kWide = 100;          // columns from which on a table says more

double as_double(std::uint64_t value) {
  return static_cast<double>(value);
}

std::string arrow(const Screen& screen) {
  return screen.utf8 ? "\u2192" : "->";
}

std::string sizes(std::uint64_t in, std::uint64_t out, const Screen& screen) {
  return fmt::format("{} {} {} ({})", format_bytes(as_double(in)), arrow(screen),
                     format_bytes(as_double(out)), format_percent(as_double(out), as_double(in)));
}

std::string title(const QuantizeRequest& request, const QuantizeReport& report, const Screen& screen) {
  return fmt::format("{} {} {}  as {}\n", screen.paint(Ink::strong, printable(request.in.native())),
                     arrow(screen), screen.paint(Ink::strong, printable(request.out.native())),
                     report.format);
}

std::string quantized_table(const QuantizeReport& plan, const Screen& screen) {
  std::vector<Listed> names;
  std::vector<const PlannedTensor*> tensors;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.quantized) continue;
    names.push_back({tensor.name, fmt::format("{} {} {}", to_string(tensor.shape), to_string(tensor.dtype),
                                              info(tensor.recipe.scale).name)});
    tensors.push_back(&tensor);
  }
  const bool wide = screen.width == 0 || screen.width >= kWide;
  std::vector<Column> columns = {{"quantised"}, {"count", Align::right}, {"shape"}, {"rule"}};
  if (wide) columns.push_back({"from", Align::right});
  columns.push_back({"to", Align::right});
  columns.push_back({"bits", Align::right});
  Table table(columns);
  std::string head;
  for (const Line& line : collapse(names)) {
    if (line.head != head && !line.head.empty()) table.heading(line.head);
    head = line.head;
    std::uint64_t in = 0, out = 0;
    for (const std::size_t member : line.members) {
      in += tensors[member]->bytes_in;
      out += tensors[member]->bytes_out;
    }
    const PlannedTensor& first = *tensors[line.members[0]];
    std::vector<Cell> cells = {{fmt::format("{}{}", head.empty() ? "" : "  ", line.tail)},
                               {line.members.size() > 1 ? format_count(line.members.size()) : ""},
                               {to_string(first.shape)},
                               {info(first.recipe.scale).name}};
    if (wide) cells.push_back({format_bytes(as_double(in))});
    cells.push_back({format_bytes(as_double(out))});
    cells.push_back({fmt::format("{:.2f}", first.bits_per_weight)});
    table.row(cells);
  }
  return names.empty() ? "" : table.text(screen) + "\n";
}

// Every reason with its tensors, in the order in which they come up.
std::string kept_text(const QuantizeReport& report, const Screen& screen) {
  struct Group {
    std::string reason;
    std::vector<Listed> names;
    std::uint64_t bytes = 0;
  };
  std::vector<Group> groups;
  for (const PlannedTensor& tensor : report.tensors) {
    if (tensor.quantized) continue;
    auto group =
        std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.reason == tensor.reason; });
    if (group == groups.end()) group = groups.insert(groups.end(), {tensor.reason, {}, 0});
    group->names.push_back({tensor.name, ""});
    group->bytes += tensor.bytes_out;
  }
  if (groups.empty()) return "";
  std::string text = screen.paint(Ink::strong, "kept as they are") + "\n";
  for (const Group& group : groups) {
    std::vector<std::string> lines;
    for (const Line& line : collapse(group.names, Siblings::together)) lines.push_back(printable(line.name));
    if (lines.size() > kNames) {
      const std::size_t left_out = lines.size() - (kNames - 1);
      lines.resize(kNames - 1);
      lines.push_back(fmt::format("and {} more", left_out));
    }
    for (std::size_t i = 0; i + 1 < lines.size(); ++i) lines[i] += ",";
    text += fmt::format("  {}: {}, {}\n", printable(group.reason), plural(group.names.size(), "tensor"),
                        format_bytes(as_double(group.bytes)));
    text += screen.paint(Ink::faint, wrap(lines, 4, screen.prose_width()));
  }
  return text + "\n";
}

std::string left_behind_text(const QuantizeReport& report, const Screen& screen) {
  if (report.left_behind.empty()) return "";
  std::string text = screen.paint(Ink::strong, "not copied") + "\n";
  for (const std::string& file : report.left_behind) text += fmt::format("  {}\n", printable(file));
  return text + "\n";
}

std::string worst_text(const QuantizeReport& report, const Screen& screen) {
  const std::vector<const PlannedTensor*> worst = report.worst_first();
  Table table({{"largest error"}, {"SQNR", Align::right}, {"saturated", Align::right}, {"rule"}});
  std::size_t lines = 0;
  for (const PlannedTensor* tensor : worst) {
    if (lines == kWorst || std::isinf(tensor->stats.sqnr_db())) break;
    table.row({{tensor->name},
               {format_decibels(tensor->stats.sqnr_db())},
               {format_percent(as_double(tensor->stats.saturated), as_double(tensor->stats.elements))},
               {info(tensor->recipe.scale).name}});
    ++lines;
  }
  return lines == 0 ? "" : table.text(screen) + "\n";
}

std::string fact(const char* what, const std::string& value, const Screen& screen) {
  return fmt::format("  {}{}\n", screen.paint(Ink::faint, fmt::format("{:<11}", what)), value);
}

std::string share(std::uint64_t part, std::uint64_t whole, const char* noun) {
  return fmt::format("{} of {} {} ({})", format_count(part), format_count(whole), noun,
                     format_percent(as_double(part), as_double(whole)));
}

// Errors of the quantised tensors; empty if there are none.
std::string errors_text(const QuantizeReport& report, const Screen& screen) {
  const ErrorStats total = report.total();
  if (total.blocks == 0) return "";
  const bool lossless = total.lossless_blocks == total.blocks;
  const std::string median = format_decibels(report.median_sqnr_db());
  const std::string worst = format_decibels(report.worst_first().front()->stats.sqnr_db());
  return fact("SQNR", lossless ? worst : fmt::format("{} (median), {} (worst tensor)", median, worst),
              screen) +
         fact("lossless",
              screen.paint(lossless ? Ink::good : Ink::plain,
                           share(total.lossless_blocks, total.blocks, "blocks")),
              screen) +
         fact("saturated", share(total.saturated, total.elements, "elements"), screen);
}

std::string scales_text(const QuantizeReport& report, const Screen& screen) {
  const ErrorStats total = report.total();
  if (total.blocks == 0) return "";
  return fmt::format("{}\n{}\n", screen.paint(Ink::strong, "scale bytes"),
                     scale_chart(total.scales, screen, 2));
}

std::string tensors_text(const QuantizeReport& report) {
  const auto quantized = std::count_if(report.tensors.begin(), report.tensors.end(),
                                       [](const PlannedTensor& tensor) { return tensor.quantized; });
  const std::string text =
      fmt::format("{} of {} quantised", format_count(static_cast<std::uint64_t>(quantized)),
                  format_count(report.tensors.size()));
  if (quantized == 0) return text;
  const auto weighted = std::count_if(report.tensors.begin(), report.tensors.end(),
                                      [](const PlannedTensor& tensor) { return tensor.weighted; });
  const std::string how =
      weighted == 0 ? ""
                    : fmt::format(", {} by importance", format_count(static_cast<std::uint64_t>(weighted)));
  return fmt::format("{}{}, {:.2f} bits per weight", text, how, report.bits_per_weight());
}

}  // namespace

std::string plan_text(const QuantizeRequest& request, const QuantizeReport& plan, const Screen& screen) {
  const std::string disk = fmt::format("{} needed, {} free", format_bytes(as_double(plan.disk_needed)),
                                       format_bytes(as_double(plan.disk_free)));
  return title(request, plan, screen) + "\n" + quantized_table(plan, screen) + kept_text(plan, screen) +
         left_behind_text(plan, screen) + fact("tensors", tensors_text(plan), screen) +
         fact("size", sizes(plan.bytes_in, plan.bytes_out, screen), screen) + fact("disk", disk, screen);
}

std::string summary_text(const QuantizeRequest& request, const QuantizeReport& report, const Screen& screen) {
  const std::string time =
      fmt::format("{}, {}/s, {} of memory", format_seconds(report.seconds),
                  format_bytes(as_double(report.bytes_in) / std::max(report.seconds, 1e-9)),
                  format_bytes(as_double(report.peak_memory)));
  const std::string text = title(request, report, screen) + fact("tensors", tensors_text(report), screen) +
                           fact("size", sizes(report.bytes_in, report.bytes_out, screen), screen) +
                           errors_text(report, screen) + fact("time", time, screen) + "\n" +
                           worst_text(report, screen) + scales_text(report, screen) +
                           kept_text(report, screen) + left_behind_text(report, screen);
  return text.substr(0, text.size() - 1);  // sections end in an empty line; the last one needs none
}

}  // namespace mxfp4::cli
