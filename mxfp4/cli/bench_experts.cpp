#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include <fmt/format.h>

#include "mxfp4/base/parallel.h"
#include "mxfp4/cli/bench_layers.h"
#include "mxfp4/cli/bench_weights.h"
#include "mxfp4/kernel/expert_ops.h"
#include "mxfp4/layer/mlp.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::cli {
namespace {

/// The experts of one layer.
struct Model {
  const char* name;
  std::size_t experts, top_k, hidden, intermediate;
  bool alternate;  ///< gate and up, with swiglu_oai between them and down; otherwise apart, with silu
};
constexpr Model kModels[] = {
    {"gpt-oss-20b", 32, 4, 2880, 2880, true},   {"gpt-oss-120b", 128, 4, 2880, 2880, true},
    {"mixtral-8x7b", 8, 2, 4096, 14336, false}, {"qwen3-30b-a3b", 128, 8, 2048, 768, false},
    {"deepseek-v3", 256, 8, 7168, 2048, false}, {"tiny", 6, 4, 64, 96, true},
};

constexpr std::size_t kSampledRows = 64, kSampledTokens = 2;
constexpr std::size_t kMostReadAtOnce = 64 << 20;

/// A layer whose experts all have the same weights, so that one copy in files' layout makes all packed ones.
class BenchModel {
 public:
  BenchModel(const Model& model, bool packed)
      : m_(model),
        copies_(packed ? 1 : model.experts),
        first_blocks_(2 * m_.intermediate * ((m_.hidden + 31) / 32)),
        down_blocks_(m_.hidden * ((m_.intermediate + 31) / 32)),
        memory_(copies_ * bytes()) {
    for (std::size_t copy = 0; copy < copies_; ++copy) {
      fill_with_weights(memory_.data() + copy * bytes(), first_blocks_);
      fill_with_weights(memory_.data() + copy * bytes() + first_blocks_ * 17, down_blocks_);
    }
  }
  std::size_t bytes() const noexcept { return (first_blocks_ + down_blocks_) * 17; }  ///< of an expert

  Mxfp4View first(std::size_t expert) const {
    return view(expert, 0, first_blocks_, 2 * m_.intermediate, m_.hidden);
  }
  Mxfp4View down(std::size_t expert) const {
    return view(expert, first_blocks_ * 17, down_blocks_, m_.hidden, m_.intermediate);
  }
  GatedUnit unit() const noexcept { return m_.alternate ? GatedUnit::swiglu_oai() : GatedUnit::silu(); }
  ExpertWeights weights() const {
    ExpertMatrices both;
    ExpertWeights w;
    for (std::size_t e = 0; e < m_.experts; ++e) {
      both.weights.push_back(first(e));
      w.down.weights.push_back(down(e));
    }
    if (m_.alternate) {
      w.gate_up = std::move(both);
    } else {
      const auto rows = static_cast<std::int64_t>(m_.intermediate);
      w.gate = rows_of_each(both, 0, rows);
      w.up = rows_of_each(both, rows, rows);
    }
    w.unit = {unit()};
    return w;
  }

 private:
  Mxfp4View view(std::size_t expert, std::size_t offset, std::size_t blocks, std::size_t rows,
                 std::size_t columns) const {
    const std::uint8_t* const codes = memory_.bytes() + expert % copies_ * bytes() + offset;
    return {
        codes, codes + blocks * 16, {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)}};
  }

  const Model& m_;
  std::size_t copies_, first_blocks_, down_blocks_;
  Buffer memory_;
};

/// Who goes where: one pattern, shifted from call to call, so that other experts have their turn.
class Routing {
 public:
  Routing(const Model& model, std::size_t tokens)
      : m_(model), ids_(tokens * model.top_k), weights_(ids_.size(), 1.0f / static_cast<float>(model.top_k)) {
    std::mt19937_64 random(3);
    std::vector<std::int32_t> all(model.experts);
    for (std::size_t e = 0; e < all.size(); ++e) all[e] = static_cast<std::int32_t>(e);
    for (std::size_t t = 0; t < tokens; ++t) {
      if (t > 0) std::shuffle(all.begin(), all.end(), random);
      std::copy_n(all.begin(), model.top_k, ids_.begin() + static_cast<std::ptrdiff_t>(t * model.top_k));
    }
    touched_ = std::set(ids_.begin(), ids_.end()).size();
  }
  std::size_t touched() const noexcept { return touched_; }
  ExpertChoice next() {
    const auto experts = static_cast<std::int32_t>(m_.experts), step = static_cast<std::int32_t>(m_.top_k);
    for (std::int32_t& id : ids_) id = (id + step) % experts;
    return {ids_.data(), weights_.data(), static_cast<int>(m_.top_k)};
  }

 private:
  const Model& m_;
  std::vector<std::int32_t> ids_;
  std::vector<float> weights_;
  std::size_t touched_ = 0;
};

/// What is no product with an expert: router, gated unit and weighted sum, as often as the layer does them.
class Rest {
 public:
  Rest(const Model& model, const BenchModel& weights, const BenchTokens& tokens, const Context& context)
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
  const Model& m_;
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
OutputErrors errors_of(const Model& model, const BenchModel& weights, const BenchTokens& tokens) {
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

std::vector<std::string> models_of_experts() {
  std::vector<std::string> names;
  for (const Model& model : kModels) names.emplace_back(model.name);
  return names;
}

BenchReport bench_experts(const BenchOptions& options) {
  const std::string like = options.like.empty() ? kModels[0].name : options.like;
  const Model& model =
      *std::find_if(std::begin(kModels), std::end(kModels), [&](const Model& m) { return m.name == like; });
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
