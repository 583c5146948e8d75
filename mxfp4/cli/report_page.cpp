#include "mxfp4/cli/report_page.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "mxfp4/base/version.h"
#include "mxfp4/cli/layer_grid.h"
#include "mxfp4/cli/markup.h"
#include "mxfp4/cli/report_charts.h"
#include "mxfp4/cli/report_style.h"
#include "mxfp4/cli/text.h"

namespace mxfp4::cli {
namespace {

using job::Report;
using job::ReportedWeight;
using job::ReportRequest;
using job::WeightNumbers;

constexpr std::size_t kWorst = 10;
constexpr std::size_t kProblems = 5;  // of one kind

std::uint64_t codes_of(const WeightNumbers& numbers) noexcept {
  return 32 * numbers.blocks();
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return format_percent(static_cast<double>(part), static_cast<double>(whole));
}

std::string section(const std::string& title, const std::string& text, const std::string& content) {
  return fmt::format("<section><h2>{}</h2><p class=\"soft small\">{}</p>{}</section>\n", title, text,
                     content);
}

// The path without what leads to it.
std::string model_name(const std::filesystem::path& path) {
  const std::filesystem::path name = (path / "").parent_path().filename();
  return name.empty() || name == "." || name == ".." ? path.native() : name.native();
}

std::string header(const ReportRequest& request, const Report& report, const WeightNumbers& total) {
  std::string text = fmt::format("{}, {} in {}, {}; {} in MXFP4, {} as they were", escape(report.convention),
                                 plural(report.tensors, "tensor"), plural(report.files, "file"),
                                 format_bytes(static_cast<double>(report.bytes)),
                                 plural(total.weights, "weight"), format_count(report.kept));
  if (!request.against.empty()) {
    text +=
        fmt::format(". Compared with <span class=\"name\">{}</span>", escape(model_name(request.against)));
  }
  return fmt::format("<header><h1>{}</h1><p class=\"soft\">{}.</p></header>\n",
                     escape(model_name(request.path)), text);
}

std::string verdict(const ReportSummary& summary) {
  const char* const sign = summary.grade == Grade::good   ? "<path d=\"M7 12.5l3.5 3.5L17 9\"/>"
                           : summary.grade == Grade::fair ? "<path d=\"M12 7v6.5M12 16.6v.4\"/>"
                                                          : "<path d=\"M8 8l8 8M16 8l-8 8\"/>";
  return fmt::format(
      "<section class=\"verdict {0}\"><svg viewBox=\"0 0 24 24\" stroke-width=\"2\" "
      "stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\">"
      "<circle cx=\"12\" cy=\"12\" r=\"10\"/>{1}</svg><div><strong>{0}</strong><p>{2}</p></div>"
      "</section>\n",
      to_string(summary.grade), sign, escape(summary.verdict));
}

std::string facts(const ReportSummary& summary) {
  std::string out = "<dl class=\"facts\">";
  const auto fact = [&](const char* what, const std::string& value, const std::string& note) {
    out += fmt::format("<div><dt>{}</dt><dd>{}</dd><dd>{}</dd></div>", what, value, note);
  };
  const WeightNumbers& total = summary.total;
  if (summary.compared) {
    fact("SQNR, median", format_decibels(summary.sqnr_db.median),
         fmt::format("worst: {}", format_decibels(summary.sqnr_db.worst)));
    fact("scale rule", summary.made_by_nearest ? info(summary.nearest->rule).name : "mixed",
         fmt::format("{}: {} of blocks", info(summary.nearest->rule).name,
                     percent(summary.nearest->same_blocks, total.trial.blocks)));
  }
  fact("codes of \u00b16", percent(total.saturated(), codes_of(total)),
       fmt::format("of {}", format_count(codes_of(total))));
  fact("codes of 0", percent(total.zeros(), codes_of(total)),
       fmt::format("{} are \u22120", percent(total.codes[8], codes_of(total))));
  fact("blocks of zeros", format_count(total.zero_blocks),
       fmt::format("of {}", format_count(total.blocks())));
  fact("scales of NaN", format_count(total.nan_blocks()),
       total.nan_blocks() == 0 ? "no byte is 255" : "byte 255: the block is lost");
  return out + "</dl>\n";
}

std::string problems(const Report& report) {
  if (report.problems.empty()) return "";
  std::string list = "<ul>";
  std::map<ProblemKind, std::uint64_t> seen;
  for (const Problem& problem : report.problems) {
    if (++seen[problem.kind] > kProblems) continue;
    list += fmt::format("<li><strong>{}</strong>: {}</li>", mxfp4::to_string(problem.kind),
                        escape(problem.message));
  }
  for (const auto& [kind, count] : seen) {
    if (count > kProblems) {
      list += fmt::format("<li><strong>{}</strong>: {} more</li>", mxfp4::to_string(kind),
                          format_count(count - kProblems));
    }
  }
  list += "</ul>";
  return section("Problems", "<code>mxfp4 verify</code> lists all of them.", list);
}

// The numbers of a row of a table, behind its name.
std::string cells_of(const WeightNumbers& numbers, bool compared) {
  const auto cell = [](const std::string& text) {
    return fmt::format("<td class=\"number right\">{}</td>", text);
  };
  std::string out;
  if (compared) {
    out += cell(numbers.compared ? format_decibels(numbers.error.sqnr_db()) : "-");
    out +=
        cell(numbers.compared && std::isfinite(numbers.max_error) ? fmt::format("{:.3g}", numbers.max_error)
                                                                  : "-");
  }
  return out + cell(percent(numbers.saturated(), codes_of(numbers))) +
         cell(percent(numbers.zeros(), codes_of(numbers))) + cell(format_count(numbers.zero_blocks)) +
         cell(format_count(numbers.nan_blocks()));
}

std::string table(const std::string& heads, const std::string& rows, bool compared) {
  const char* const errors =
      compared ? "<th class=\"right\">SQNR</th><th class=\"right\">largest error</th>" : "";
  return fmt::format(
      "<div class=\"scroll\"><table><thead><tr>{}{}<th class=\"right\">\u00b16</th>"
      "<th class=\"right\">zero</th><th class=\"right\">zero blocks</th>"
      "<th class=\"right\">NaN scales</th></tr></thead><tbody>{}</tbody></table></div>",
      heads, errors, rows);
}

std::string grid_table(const LayerGrid& grid, bool compared) {
  std::string rows;
  for (const Kind& kind : grid.kinds) {
    for (const auto& [layer, numbers] : kind.layers) {
      rows += fmt::format("<tr><td class=\"name\">{}</td><td class=\"number right\">{}</td>{}</tr>",
                          escape(kind.label), layer == kNoLayer ? std::string("-") : std::to_string(layer),
                          cells_of(numbers, compared));
    }
  }
  return "<details><summary>All layers as a table</summary>" +
         table("<th>kind</th><th class=\"right\">layer</th>", rows, compared) + "</details>";
}

std::string layers(const Report& report, const ReportSummary& summary) {
  const LayerGrid grid = layer_grid(report.weights);
  std::string out;
  if (summary.compared) {
    out += section("Error by layer and kind",
                   "Signal to quantisation noise of each layer's weights, the experts of a layer together; "
                   "more is better. Normally distributed weights can reach 19.05 dB.",
                   error_chart(grid) + grid_table(grid, true));
  }
  out += "<div class=\"pair\">";
  out += section("Codes that are \u00b16",
                 "The ends of the range. Many of them: values were cut off; none: the range is not used.",
                 saturated_chart(grid));
  out += section("Codes that are zero", "Values below a quarter of their block's scale.", zeros_chart(grid));
  out += "</div>\n";
  if (!summary.compared)
    out += section("Numbers by layer", "What the codes tell without an original.", grid_table(grid, false));
  return out;
}

std::string rules(const ReportSummary& summary) {
  if (!summary.compared) return "";
  const job::Trial& trial = summary.total.trial;
  const std::string sample =
      trial.elements == summary.total.elements
          ? std::string("every element")
          : fmt::format("{} of {} elements ({}), the same rows in every run", format_count(trial.elements),
                        format_count(summary.total.elements),
                        percent(trial.elements, summary.total.elements));
  const std::string text = fmt::format(
      "The original, quantised again by each rule: from the worst weight to the best, the mark at the "
      "median. "
      "The line through all rows is this model's median. Tried on {}.",
      sample);
  std::string who = "<details><summary>Who uses which rule</summary><ul class=\"small\">";
  for (const RuleResult& result : summary.rules)
    who += fmt::format("<li><code>{}</code>: {}</li>", info(result.rule).name,
                       escape(info(result.rule).description));
  return section("What each scale rule would give", text, rules_chart(summary) + who + "</ul></details>");
}

std::string histograms(const WeightNumbers& total) {
  return "<div class=\"pair\">" +
         section("Scales",
                 fmt::format("How often each power of two is the scale, by its exponent, of {}.",
                             plural(total.blocks(), "block")),
                 scale_bytes_chart(total)) +
         section(
             "Codes",
             fmt::format("How often each of the 15 values stands, of {}.", plural(codes_of(total), "code")),
             codes_chart(total)) +
         "</div>\n";
}

std::string worst(const ReportSummary& summary) {
  std::string rows;
  for (std::size_t i = 0; i < std::min(kWorst, summary.worst_first.size()); ++i) {
    const ReportedWeight& weight = *summary.worst_first[i];
    rows += fmt::format("<tr><td class=\"name\">{}</td><td class=\"number right\">{}</td>{}</tr>",
                        escape(weight.name), escape(mxfp4::to_string(weight.shape)),
                        cells_of(weight.numbers, summary.compared));
  }
  return section(summary.compared ? "The worst weights" : "The weights with the most codes of \u00b16",
                 fmt::format("{} of {}.", std::min(kWorst, summary.worst_first.size()),
                             plural(summary.worst_first.size(), "MXFP4 weight")),
                 table("<th>weight</th><th class=\"right\">shape</th>", rows, summary.compared));
}

}  // namespace

std::string report_page(const ReportRequest& request, const Report& report, const ReportSummary& summary) {
  return fmt::format(
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<title>{} in MXFP4</title>\n<style>{}</style>\n</head>\n<body>\n",
             escape(model_name(request.path)), kReportStyle) +
         header(request, report, summary.total) + "<main>\n" + verdict(summary) + facts(summary) +
         problems(report) + layers(report, summary) + rules(summary) + histograms(summary.total) +
         worst(summary) + "</main>\n" +
         fmt::format(
             "<footer>Written by mxfp4 {}. SQNR = 10 log10(sum x\u00b2 / sum (x \u2212 value)\u00b2). "
             "The same numbers: mxfp4 report --json.</footer>\n</body>\n</html>\n",
             version());
}

}  // namespace mxfp4::cli
