#include <algorithm>
#include <cmath>
#include <random>

#include <fmt/format.h>

#include "mxfp4/cli/bench_kinds.h"
#include "mxfp4/cli/bench_limits.h"
#include "mxfp4/cli/bench_turns.h"
#include "mxfp4/cli/bench_weights.h"
#include "mxfp4/layer/linear.h"

namespace mxfp4::cli {
namespace {

constexpr std::size_t kSampledRows = 64, kSampledTokens = 8;
constexpr std::size_t kOutlierEvery = 128;  // channels
constexpr double kLeastShare = 0.85;        // of the processors' time, for a rate to mean something

/// What goes into a layer and what comes out.
struct Activations {
  Activations(const BenchOptions& options, const BenchWeights& weights)
      : tokens(static_cast<std::size_t>(options.tokens)),
        dtype(dense_dtype(options.dtype.empty() ? "f32" : options.dtype)),
        element_bytes(static_cast<std::size_t>(bits_of(dtype)) / 8),
        in(tokens * weights.columns * element_bytes),
        out(tokens * weights.rows * element_bytes),
        x(view(in, weights.columns)),
        y(view(out, weights.rows)) {
    std::mt19937_64 random(2);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < tokens * weights.columns; ++i) {
      const bool outlier = options.outliers && i % weights.columns % kOutlierEvery == kOutlierEvery / 2;
      write_element(normal(random) * (outlier ? 1000.0f : 1.0f), dtype, in.data() + i * element_bytes);
    }
  }
  DenseView view(const Buffer& buffer, std::size_t columns) const {
    return dense_view(buffer.data(), dtype,
                      {static_cast<std::int64_t>(tokens), static_cast<std::int64_t>(columns)});
  }

  std::size_t tokens;
  Dtype dtype;
  std::size_t element_bytes;
  Buffer in, out;
  DenseView x, y;
};

struct Errors {
  double relative = 0;  ///< rms((y - ref) / sum |w * x|)
  double norm = 0;      ///< rms(y - ref) / rms(ref)
};

// The last output computed against double precision, in rows and tokens at even distances.
Errors errors_of(const BenchWeights& weights, const Activations& activations) {
  const auto sample = [](std::size_t count, std::size_t most) {
    std::vector<std::size_t> chosen;
    const std::size_t samples = std::min(count, most);
    for (std::size_t i = 1; i <= samples; ++i) chosen.push_back(count * i / samples - 1);
    return chosen;
  };
  std::vector<float> x(weights.columns), y(weights.rows);
  double relative = 0, difference = 0, reference = 0, count = 0;
  const std::vector<std::size_t> rows = sample(weights.rows, kSampledRows);
  std::vector<std::vector<float>> w;
  for (const std::size_t row : rows) w.push_back(weights.row(row));
  for (const std::size_t token : sample(activations.tokens, kSampledTokens)) {
    const auto first = static_cast<std::int64_t>(token);
    copy_rows_f32(activations.x, first, first + 1, x.data());
    copy_rows_f32(activations.y, first, first + 1, y.data());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      double sum = 0, magnitude = 0;
      for (std::size_t k = 0; k < weights.columns; ++k) {
        const double product = double{w[i][k]} * double{x[k]};
        sum += product;
        magnitude += std::abs(product);
      }
      const double error = double{y[rows[i]]} - sum;
      if (magnitude > 0) relative += error / magnitude * (error / magnitude);
      difference += error * error;
      reference += sum * sum;
      ++count;
    }
  }
  return {std::sqrt(relative / count), std::sqrt(difference / reference)};
}

BenchReport report_on(const BenchOptions& options, const BenchWeights& weights,
                      const Activations& activations, const Timed& timed, const Limits& limits) {
  const char* const activation = kActivations[static_cast<std::size_t>(options.activation)];
  const double bytes = static_cast<double>(weights.bytes()), seconds = timed.median();
  const Limit limit = limits.roofline(bytes, timed.work, options.activation == Activation::int8);
  const auto percent_of = [&](double work, const Timed& peak) { return 100 * work / seconds / peak.rate(); };
  const Errors errors = errors_of(weights, activations);
  BenchReport report{{},
                     Table({{"on " + std::string(to_string(default_isa()))},
                            {"GB/s of weights", Align::right},
                            {"Gop/s", Align::right},
                            {"of the limit", Align::right}}),
                     limits.warnings()};
  if (const double share = timed.share_of_processors(options.threads); share < kLeastShare) {
    report.warnings.push_back(fmt::format(
        "the layer had its processors for {:.0f} % of its time: it is faster than this says", 100 * share));
  }
  if (weights.rotation.fits_cache()) {
    report.warnings.push_back(
        fmt::format("the copies of the weight have {:.1f} MB together: caches may hold them",
                    weights.rotation.megabytes()));
  }
  const Json result = {
      {"case", "linear"},
      {"rows", weights.rows},
      {"cols", weights.columns},
      {"tokens", options.tokens},
      {"activation", activation},
      {"packed", options.packed},
      {"dtype", options.dtype.empty() ? "f32" : options.dtype},
      {"threads", options.threads},
      {"isa", to_string(default_isa())},
      {"seconds", seconds},
      {limit.reads ? "gb_per_s" : "gop_per_s", (limit.reads ? bytes : timed.work) / seconds / 1e9},
      {"limit", {{"name", limit.name}, {"value", limit.rate / 1e9}}},
      {"percent_of_limit", 100 * limit.seconds / seconds},
      {"percent_of_read_bandwidth", percent_of(bytes, limits.read())},
      {"percent_of_int8_peak", percent_of(timed.work, limits.int8_dots())},
      {"percent_of_f32_peak", percent_of(timed.work, limits.f32_fmas())},
      {"relative_error", finite_or_null(errors.relative)},
      {"relative_error_norm", finite_or_null(errors.norm)},
      {"weight_bytes", weights.bytes()},
      {"weight_copies", weights.rotation.copies()}};
  report.json = {
      {"results", Json::array({result})}, {"limits", limits.to_json()}, {"warnings", report.warnings}};

  const auto number = [](double per_s) { return fmt::format("{:.2f}", per_s / 1e9); };
  report.table.row({{fmt::format("{}, {} token{}{}", activation, options.tokens,
                                 options.tokens == 1 ? "" : "s", options.packed ? "" : ", not packed")},
                    {number(bytes / seconds)},
                    {number(timed.work / seconds)},
                    {fmt::format("{:.0f} %", 100 * limit.seconds / seconds)}});
  report.table.row({{"error, of the sum of magnitudes"}, {}, {}, {fmt::format("{:.2g}", errors.relative)}});
  report.table.row(
      {{limits.read().name}, {number(limits.read().rate())}, {}, {limit.reads ? "the limit" : ""}});
  for (const Timed* peak : {&limits.int8_dots(), &limits.f32_fmas()}) {
    report.table.row(
        {{peak->name}, {}, {number(peak->rate())}, {peak->name == limit.name ? "the limit" : ""}});
  }
  return report;
}

}  // namespace

BenchReport bench_linear(const BenchOptions& options) {
  BenchWeights weights(options, options.packed ? 2 : 1);
  const Context context{options.threads, default_isa()};
  std::vector<Linear> layers;
  for (std::size_t copy = 0; copy < weights.rotation.copies(); ++copy) {
    layers.emplace_back(weights.view(copy), std::span<const float>(),
                        LayerOptions{.pack = options.packed, .context = context});
  }
  const Activations activations(options, weights);
  const ForwardOptions forward{options.activation, options.threads};
  const double operations = 2.0 * static_cast<double>(weights.rows * weights.columns * activations.tokens);
  std::vector<Candidate> candidates = limit_candidates(context, weights.rotation, weights.bytes());
  candidates.insert(candidates.begin(), {"linear", operations, [&] {
                                           layers[weights.rotation.next()].forward(
                                               activations.x, activations.dtype, activations.out.data(),
                                               forward);
                                         }});
  std::vector<Timed> timed = time_in_turns(candidates);
  const Timed linear = timed.front();
  timed.erase(timed.begin());
  return report_on(options, weights, activations, linear, Limits(context, std::move(timed)));
}

}  // namespace mxfp4::cli
