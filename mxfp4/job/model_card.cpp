#include "mxfp4/job/model_card.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include <fmt/format.h>

#include "mxfp4/codec/scale_rule.h"

namespace mxfp4::job {
namespace {

constexpr std::size_t kWorst = 10;

std::string decibels(double value) {
  return std::isfinite(value) ? fmt::format("{:.2f} dB", value) : "lossless";
}

std::string gigabytes(std::uint64_t bytes) {
  return fmt::format("{:.3g} GB", static_cast<double>(bytes) / 1e9);
}

}  // namespace

std::string model_card(const std::string& name, const QuantizeReport& report) {
  std::map<std::string, std::size_t> rules, kept;
  for (const PlannedTensor& tensor : report.tensors) {
    if (tensor.quantized) {
      ++rules[info(tensor.recipe.scale).name];
    } else {
      ++kept[tensor.reason];
    }
  }
  const ErrorStats total = report.total();
  std::string card = fmt::format("# {}\n\n", name);
  const auto out = std::back_inserter(card);
  fmt::format_to(out,
                 "Weights in MXFP4 (E2M1 elements, blocks of 32 with one E8M0 scale), stored as `{}`.\n\n",
                 report.format);
  fmt::format_to(out, "| | |\n|---|---|\n");
  for (const auto& [rule, count] : rules)
    fmt::format_to(out, "| scale rule `{}` | {} tensors |\n", rule, count);
  for (const auto& [reason, count] : kept) fmt::format_to(out, "| kept: {} | {} tensors |\n", reason, count);
  fmt::format_to(out, "| bits per quantised weight | {:.2f} |\n", report.bits_per_weight());
  fmt::format_to(out, "| size | {}, from {} |\n", gigabytes(report.bytes_out), gigabytes(report.bytes_in));
  if (total.elements > 0) {
    fmt::format_to(out, "| SQNR, median of the tensors | {} |\n", decibels(report.median_sqnr_db()));
    fmt::format_to(out, "| saturated elements | {} of {} |\n", total.saturated, total.elements);
    fmt::format_to(out, "| lossless blocks | {} of {} |\n", total.lossless_blocks, total.blocks);
    fmt::format_to(out, "\nThe tensors with the largest relative error:\n\n| tensor | SQNR |\n|---|---|\n");
    const std::vector<const PlannedTensor*> worst = report.worst_first();
    for (std::size_t i = 0; i < std::min(worst.size(), kWorst); ++i) {
      fmt::format_to(out, "| `{}` | {} |\n", worst[i]->name, decibels(worst[i]->stats.sqnr_db()));
    }
  }
  return card;
}

}  // namespace mxfp4::job
