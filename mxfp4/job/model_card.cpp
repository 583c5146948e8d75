#include "mxfp4/job/model_card.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>

#include <fmt/format.h>

#include "mxfp4/codec/scale_rule.h"

namespace mxfp4::job {
namespace {

constexpr std::size_t kWorst = 10;
constexpr std::string_view kEnd =
    "\n<!-- Written by mxfp4. Delete this line to have the file kept as yours. -->\n";

std::string decibels(double value) {
  return std::isfinite(value) ? fmt::format("{:.2f} dB", value) : "lossless";
}

std::string size(std::uint64_t bytes) {
  const bool large = bytes >= 1'000'000'000;
  return fmt::format("{:.3g} {}", static_cast<double>(bytes) / (large ? 1e9 : 1e6), large ? "GB" : "MB");
}

std::string tensors(std::size_t count) {
  return fmt::format("{} tensor{}", count, count == 1 ? "" : "s");
}

// What anybody may have named, in a line of Markdown or a cell of a table.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c == '|') line += '\\';
    line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return line;
}

}  // namespace

std::string model_card(const std::string& name, const QuantizeReport& report) {
  std::map<std::string, std::size_t> rules, kept;
  for (const PlannedTensor& tensor : report.tensors) {
    if (tensor.quantized) {
      ++rules[fmt::format("`{}`{}", info(tensor.recipe.scale).name, tensor.weighted ? " by importance" : "")];
    } else {
      ++kept[tensor.reason];
    }
  }
  const ErrorStats total = report.total();
  std::string card = fmt::format("# {}\n\n", one_line(name));
  const auto out = std::back_inserter(card);
  fmt::format_to(out,
                 "Weights in MXFP4 (E2M1 elements, blocks of 32 with one E8M0 scale), stored as `{}`.\n\n",
                 report.format);
  fmt::format_to(out, "| | |\n|---|---|\n");
  for (const auto& [rule, count] : rules)
    fmt::format_to(out, "| scale rule {} | {} |\n", rule, tensors(count));
  for (const auto& [reason, count] : kept)
    fmt::format_to(out, "| kept: {} | {} |\n", one_line(reason), tensors(count));
  if (!rules.empty())
    fmt::format_to(out, "| bits per quantised weight | {:.2f} |\n", report.bits_per_weight());
  fmt::format_to(out, "| size | {}, from {} |\n", size(report.bytes_out), size(report.bytes_in));
  if (total.elements > 0) {
    fmt::format_to(out, "| SQNR, median of the tensors | {} |\n", decibels(report.median_sqnr_db()));
    fmt::format_to(out, "| saturated elements | {} of {} |\n", total.saturated, total.elements);
    fmt::format_to(out, "| lossless blocks | {} of {} |\n", total.lossless_blocks, total.blocks);
    fmt::format_to(out, "\nThe tensors with the largest relative error:\n\n| tensor | SQNR |\n|---|---|\n");
    const std::vector<const PlannedTensor*> worst = report.worst_first();
    for (std::size_t i = 0; i < std::min(worst.size(), kWorst); ++i) {
      fmt::format_to(out, "| `{}` | {} |\n", one_line(worst[i]->name), decibels(worst[i]->stats.sqnr_db()));
    }
  }
  return card.append(kEnd);
}

bool is_model_card(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string end(kEnd.size(), '\0');
  stream.seekg(-static_cast<std::streamoff>(end.size()), std::ios::end);
  stream.read(end.data(), static_cast<std::streamsize>(end.size()));
  return stream && end == kEnd;
}

}  // namespace mxfp4::job
