#include <algorithm>
#include <cmath>
#include <random>

#include <fmt/format.h>

#include "mxfp4/base/parallel.h"
#include "mxfp4/cli/bench_layers.h"
#include "mxfp4/cli/bench_model.h"
#include "mxfp4/kernel/expert_ops.h"
#include "mxfp4/layer/mlp.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::cli {
namespace {

constexpr std::size_t kSampledRows = 64, kSampledTokens = 2;
constexpr std::size_t kMostReadAtOnce = 64 << 20;

/// What is no product with an expert: router, gated unit and weighted sum, as often as the layer does them.
class Rest {
 public:
  Rest(const BenchedModel& model, const BenchModel& weights, const BenchTokens& tokens,
       const Context& context)
      : m_(model),
        unit_(weights.unit()),
        tokens_(tokens),
        context_(context),
        router_weight_(model.experts * model.hidden, 0.01f),
        router_(
            dense_view(router_weight_.data(), Dtype::f32,
                       {static_cast<std::int64_t>(model.experts), static_cast<std::int64_t>(model.hidden)}),
            {}, {.top_k = static_cast<int>(model.top_k)}),
        ids_(tokens.tokens * model.top_k),
        weights_(ids_.size()),
        lines_(static_cast<std::size_t>(context.threads)) {
    for (Line& line : lines_) {
      line.in.resize(2 * model.intermediate, 0.5f);
      line.out.resize(std::max(model.intermediate, model.hidden));
      line.sum.resize(model.hidden);
    }
  }
  void run() {
    const kernel::ExpertOps& ops = kernel::cpu_expert_ops(context_.isa);
    router_.forward(tokens_.x, {ids_.data(), weights_.data()}, context_.threads);
    parallel_for(context_, ids_.size(), [&](int worker, std::size_t) {
      Line& line = lines_[static_cast<std::size_t>(worker)];
      ops.gated_unit({line.in.data(), line.in.data() + m_.intermediate, m_.alternate, line.in.size(), 1,
                      m_.intermediate, unit_.alpha, unit_.beta, unit_.limit, line.out.data(),
                      m_.intermediate});
      const kernel::Route route{0, 0.25f};
      ops.add_routes({line.out.data(), m_.hidden, &route, 1, m_.hidden, line.sum.data(), m_.hidden});
    });
  }

 private:
  struct Line {
    std::vector<float> in, out, sum;
  };
  const BenchedModel& m_;
  GatedUnit unit_;
  const BenchTokens& tokens_;
  Context context_;
  std::vector<float> router_weight_;
  Router router_;
  std::vector<std::int32_t> ids_;
  std::vector<float> weights_;
  std::vector<Line> lines_;
};

struct Product {
  double sum = 0, magnitude = 0;  ///< of w * x
};

/// Some rows of a matrix times x.
std::vector<Product> product(const Mxfp4View& matrix, const std::vector<double>& x,
                             const std::vector<std::size_t>& rows) {
  std::vector<Product> y;
  std::vector<float> w(x.size());
  for (const std::size_t row : rows) {
    const std::size_t blocks = static_cast<std::size_t>(matrix.blocks_per_row());
    dequantize({matrix.codes + row * blocks * 16, matrix.scales + row * blocks, {1, matrix.shape[1]}},
               Dtype::f32, w.data());
    Product& out = y.emplace_back();
    for (std::size_t k = 0; k < x.size(); ++k) {
      out.sum += double{w[k]} * x[k];
      out.magnitude += std::abs(double{w[k]} * x[k]);
    }
  }
  return y;
}

/// The last output against double precision, in rows and tokens at even distances. Its sum is that of the
/// down projection: all experts have the same weights, and those of a token's routes are 1 together.
OutputErrors errors_of(const BenchedModel& model, const BenchModel& weights, const BenchTokens& tokens) {
  const GatedUnit unit = weights.unit();
  const std::size_t inner = model.intermediate;
  OutputErrors errors;
  for (const std::size_t t : evenly_spaced(tokens.tokens, kSampledTokens)) {
    std::vector<float> in(model.hidden), out(model.hidden);
    const auto row = static_cast<std::int64_t>(t);
    copy_rows_f32(tokens.x, row, row + 1, in.data());
    copy_rows_f32(tokens.y, row, row + 1, out.data());
    const std::vector<Product> both =
        product(weights.first(0), {in.begin(), in.end()}, evenly_spaced(2 * inner, 2 * inner));
    std::vector<double> activated;
    for (std::size_t i = 0; i < inner; ++i) {
      const double limit = double{unit.limit};
      const double gate = std::min(both[model.alternate ? 2 * i : i].sum, limit);
      const double up = std::clamp(both[model.alternate ? 2 * i + 1 : inner + i].sum, -limit, limit);
      activated.push_back(gate / (1 + std::exp(-double{unit.alpha} * gate)) * (up + double{unit.beta}));
    }
    const std::vector<std::size_t> rows = evenly_spaced(model.hidden, kSampledRows);
    const std::vector<Product> expected = product(weights.down(0), activated, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      errors.add(double{out[rows[i]]}, expected[i].sum, expected[i].magnitude);
    }
  }
  return errors;
}

}  // namespace

BenchReport bench_experts(const BenchOptions& options) {
  if (options.ranks != nullptr) return bench_sharded_experts(options);
  const BenchedModel& model = benched_model(options.like);
  const Context context{options.threads, default_isa()};
  const BenchModel weights(model, options.packed);
  const Experts experts(weights.weights(), LayerOptions{.pack = options.packed, .context = context});
  const BenchTokens tokens(options, model.hidden, model.hidden);
  Routing routing(model, tokens.tokens);
  Rest rest(model, weights, tokens, context);
  const std::size_t bytes = routing.touched() * weights.bytes();
  const std::size_t read = std::min(bytes, kMostReadAtOnce);
  Rotation rotation(read, 1);
  const double operations =
      6.0 * static_cast<double>(model.hidden * model.intermediate * model.top_k * tokens.tokens);
  std::vector<Candidate> candidates = limit_candidates(context, rotation, read);
  candidates.insert(candidates.begin(), {{"experts", operations,
                                          [&] {
                                            experts.forward(tokens.x, routing.next(), tokens.dtype,
                                                            tokens.out.data(),
                                                            {options.activation, options.threads});
                                          }},
                                         {"router, gated unit and sum", operations, [&] { rest.run(); }}});
  std::vector<Timed> timed = time_in_turns(candidates);
  BenchedLayer layer;
  layer.timed = timed[0];
  const double rest_percent = 100 * timed[1].median() / timed[0].median();
  timed.erase(timed.begin(), timed.begin() + 2);
  layer.json = {{"case", "experts"},
                {"like", model.name},
                {"experts", model.experts},
                {"top_k", model.top_k},
                {"hidden", model.hidden},
                {"intermediate", model.intermediate},
                {"experts_touched", routing.touched()},
                {"rest_percent", rest_percent}};
  layer.name = model.name;
  layer.bytes = static_cast<double>(bytes);
  layer.errors = errors_of(model, weights, tokens);
  BenchReport report = layer_report(options, layer, Limits(context, std::move(timed)));
  report.table.row(
      {{"router, gated unit and sum"}, {}, {}, {fmt::format("{:.1f} % of the time", rest_percent)}});
  return report;
}

}  // namespace mxfp4::cli
