#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mxfp4/cli/bench_layers.h"
#include "mxfp4/cli/bench_weights.h"
#include "mxfp4/layer/linear.h"

namespace mxfp4::cli {
namespace {

constexpr std::size_t kSampledRows = 64, kSampledTokens = 8;

// The last output computed against double precision, in rows and tokens at even distances.
OutputErrors errors_of(const BenchWeights& weights, const BenchTokens& activations) {
  std::vector<float> x(weights.columns), y(weights.rows);
  OutputErrors errors;
  const std::vector<std::size_t> rows = evenly_spaced(weights.rows, kSampledRows);
  std::vector<std::vector<float>> w;
  for (const std::size_t row : rows) w.push_back(weights.row(row));
  for (const std::size_t token : evenly_spaced(activations.tokens, kSampledTokens)) {
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
      errors.add(double{y[rows[i]]}, sum, magnitude);
    }
  }
  return errors;
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
  const BenchTokens activations(options, weights.columns, weights.rows);
  const ForwardOptions forward{options.activation, options.threads};
  const double operations = 2.0 * static_cast<double>(weights.rows * weights.columns * activations.tokens);
  std::vector<Candidate> candidates = limit_candidates(context, weights.rotation, weights.bytes());
  candidates.insert(candidates.begin(), {"linear", operations, [&] {
                                           layers[weights.rotation.next()].forward(
                                               activations.x, activations.dtype, activations.out.data(),
                                               forward);
                                         }});
  std::vector<Timed> timed = time_in_turns(candidates);
  BenchedLayer layer;
  layer.timed = timed.front();
  timed.erase(timed.begin());
  layer.json = {{"case", "linear"},
                {"rows", weights.rows},
                {"cols", weights.columns},
                {"weight_copies", weights.rotation.copies()}};
  layer.bytes = static_cast<double>(weights.bytes());
  layer.errors = errors_of(weights, activations);
  BenchReport report = layer_report(options, layer, Limits(context, std::move(timed)));
  if (weights.rotation.fits_cache()) {
    report.warnings.push_back(
        fmt::format("the copies of the weight have {:.1f} MB together: caches may hold them",
                    weights.rotation.megabytes()));
    report.json["warnings"] = report.warnings;
  }
  return report;
}

}  // namespace mxfp4::cli
