#include "mxfp4/cli/bench_layers.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <fmt/format.h>

namespace mxfp4::cli {
namespace {

constexpr std::size_t kOutlierEvery = 128;  // channels
constexpr double kLeastShare = 0.85;        // of the processors' time, for a rate to mean something

DenseView rows(const Buffer& buffer, Dtype dtype, std::size_t tokens, std::size_t columns) {
  return dense_view(buffer.data(), dtype,
                    {static_cast<std::int64_t>(tokens), static_cast<std::int64_t>(columns)});
}

}  // namespace

BenchTokens::BenchTokens(const BenchOptions& options, std::size_t columns, std::size_t outputs)
    : tokens(static_cast<std::size_t>(options.tokens)),
      dtype(dense_dtype(options.dtype.empty() ? "f32" : options.dtype)),
      element_bytes(static_cast<std::size_t>(bits_of(dtype)) / 8),
      in(tokens * columns * element_bytes),
      out(tokens * outputs * element_bytes),
      x(rows(in, dtype, tokens, columns)),
      y(rows(out, dtype, tokens, outputs)) {
  std::mt19937_64 random(2);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < tokens * columns; ++i) {
    const bool outlier = options.outliers && i % columns % kOutlierEvery == kOutlierEvery / 2;
    write_element(normal(random) * (outlier ? 1000.0f : 1.0f), dtype, in.data() + i * element_bytes);
  }
}

std::vector<std::size_t> evenly_spaced(std::size_t count, std::size_t most) {
  std::vector<std::size_t> chosen;
  const std::size_t samples = std::min(count, most);
  for (std::size_t i = 1; i <= samples; ++i) chosen.push_back(count * i / samples - 1);
  return chosen;
}

void OutputErrors::add(double y, double reference, double magnitude) {
  const double error = y - reference;
  if (magnitude > 0) relative_ += error / magnitude * (error / magnitude);
  difference_ += error * error;
  reference_ += reference * reference;
  ++count_;
}

double OutputErrors::relative() const {
  return std::sqrt(relative_ / count_);
}
double OutputErrors::norm() const {
  return std::sqrt(difference_ / reference_);
}

BenchReport layer_report(const BenchOptions& options, const BenchedLayer& layer, const Limits& limits) {
  const char* const activation = kActivations[static_cast<std::size_t>(options.activation)];
  const double seconds = layer.timed.median(), bytes = layer.bytes, operations = layer.timed.work;
  const Limit limit = limits.roofline(bytes, operations, options.activation == Activation::int8);
  const auto percent_of = [&](double work, const Timed& peak) { return 100 * work / seconds / peak.rate(); };
  BenchReport report{{},
                     Table({{"on " + computed_on()},
                            {"GB/s of weights", Align::right},
                            {"Gop/s", Align::right},
                            {"of the limit", Align::right}}),
                     limits.warnings()};
  for (const std::string& warning : warnings_of_device()) report.warnings.push_back(warning);
  if (const double share = layer.timed.share_of_processors(options.threads); share < kLeastShare) {
    report.warnings.push_back(fmt::format(
        "the layer had its processors for {:.0f} % of its time: it is faster than this says", 100 * share));
  }
  Json result = layer.json;
  result.update({{"tokens", options.tokens},
                 {"activation", activation},
                 {"packed", options.packed},
                 {"dtype", options.dtype.empty() ? "f32" : options.dtype},
                 {"threads", options.threads},
                 {"isa", to_string(default_isa())},
                 {"device", to_string(default_device())},
                 {"seconds", seconds},
                 {limit.reads ? "gb_per_s" : "gop_per_s", (limit.reads ? bytes : operations) / seconds / 1e9},
                 {"limit", {{"name", limit.name}, {"value", limit.rate / 1e9}}},
                 {"percent_of_limit", 100 * limit.seconds / seconds},
                 {"percent_of_read_bandwidth", percent_of(bytes, limits.read())},
                 {"percent_of_int8_peak", percent_of(operations, limits.int8_dots())},
                 {"percent_of_f32_peak", percent_of(operations, limits.f32_fmas())},
                 {"relative_error", finite_or_null(layer.errors.relative())},
                 {"relative_error_norm", finite_or_null(layer.errors.norm())},
                 {"weight_bytes", static_cast<std::uint64_t>(bytes)}});
  report.json = {
      {"results", Json::array({result})}, {"limits", limits.to_json()}, {"warnings", report.warnings}};

  const auto number = [](double per_s) { return fmt::format("{:.2f}", per_s / 1e9); };
  report.table.row(
      {{fmt::format("{}{}, {} token{}{}", layer.name.empty() ? "" : layer.name + ", ", activation,
                    options.tokens, options.tokens == 1 ? "" : "s", options.packed ? "" : ", not packed")},
       {number(bytes / seconds)},
       {number(operations / seconds)},
       {fmt::format("{:.0f} %", 100 * limit.seconds / seconds)}});
  report.table.row(
      {{"error, of the sum of magnitudes"}, {}, {}, {fmt::format("{:.2g}", layer.errors.relative())}});
  report.table.row(
      {{limits.read().name}, {number(limits.read().rate())}, {}, {limit.reads ? "the limit" : ""}});
  for (const Timed* peak : {&limits.int8_dots(), &limits.f32_fmas()}) {
    report.table.row(
        {{peak->name}, {}, {number(peak->rate())}, {peak->name == limit.name ? "the limit" : ""}});
  }
  return report;
}

}  // namespace mxfp4::cli
