#include <algorithm>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

#include "mxfp4/base/error.h"
#include "mxfp4/cli/bench_layers.h"
#include "mxfp4/cli/bench_model.h"
#include "mxfp4/layer/shard_weights.h"
#include "mxfp4/layer/sharded_experts.h"

namespace mxfp4::cli {
namespace {

constexpr int kLeastRounds = 15;
constexpr double kLeastSeconds = 0.5;

/// Medians over the rounds, of one rank.
struct RankTimes {
  double compute = 0, exchange = 0, wait = 0, total = 0;
  std::uint64_t experts = 0, bytes = 0;  ///< of weights
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

/// As many rounds as rank 0 has time for, of the same batches on every rank.
RankTimes measure(const ShardedExperts& layer, const BenchOptions& options, const BenchTokens& tokens,
                  Routing& routing) {
  std::vector<double> compute, exchange, wait, total;
  double spent = 0;
  for (int round = -2;; ++round) {
    ShardTimes times;
    const ExpertChoice choice = routing.next();
    options.ranks->barrier();
    const double seconds = seconds_of([&] {
      layer.forward(tokens.x, choice, tokens.dtype, tokens.out.data(), {options.activation, options.threads},
                    &times);
    });
    if (round >= 0) {
      compute.push_back(times.compute);
      exchange.push_back(times.exchange);
      wait.push_back(times.wait);
      total.push_back(seconds);
      spent += seconds;
    }
    std::byte enough{round + 1 >= kLeastRounds && spent >= kLeastSeconds};
    options.ranks->broadcast({&enough, 1});
    if (enough != std::byte{}) return {median(compute), median(exchange), median(wait), median(total), 0, 0};
  }
}

std::string milliseconds(double seconds) {
  return fmt::format("{:.3f}", seconds * 1e3);
}

/// What a rank receives of results for a batch, if routes are spread evenly.
double bytes_received(const ShardPlan& plan, const BenchedModel& model, std::size_t tokens) {
  const double rows = static_cast<double>(tokens * model.hidden * sizeof(float)),
               others = static_cast<double>(plan.ranks() - 1) / plan.ranks();
  return plan.tensor == 1 ? rows * static_cast<double>(model.top_k) * others : 2 * rows * others;
}

}  // namespace

ShardPlan bench_shards(const BenchOptions& options, int ranks) {
  const BenchedModel& model = benched_model(options.like);
  const bool experts = options.share == "experts";
  if (!experts) cut_channels(static_cast<std::int64_t>(model.intermediate), ranks);
  return share_experts(static_cast<std::int64_t>(model.experts), ranks, experts ? 1 : ranks);
}

BenchReport bench_sharded_experts(const BenchOptions& options) {
  Communicator& ranks = *options.ranks;
  const BenchedModel& model = benched_model(options.like);
  const Context context{options.threads, default_isa()};
  const ShardPlan plan = bench_shards(options, ranks.size());
  RankTimes mine;
  std::optional<ShardedExperts> layer;
  {
    const BenchModel weights(model, true);
    const std::optional<WeightShard> shard = shard_weights(weights.weights(), plan, ranks.rank());
    layer.emplace(ranks, plan, Experts(shard->weights, {.context = context}));
  }
  const BenchTokens tokens(options, model.hidden, model.hidden);
  Routing routing(model, tokens.tokens);
  mine = measure(*layer, options, tokens, routing);
  mine.experts = plan.experts.held(plan.group(ranks.rank())).size();
  mine.bytes = layer->memory();
  BenchReport report{{},
                     Table({{"rank", Align::right},
                            {"experts", Align::right},
                            {"weights", Align::right},
                            {"compute ms", Align::right},
                            {"exchange ms", Align::right},
                            {"wait ms", Align::right},
                            {"all ms", Align::right}}),
                     {}};
  Json rows = Json::array();
  double slowest = 0;
  for (const std::string& text : ranks.all_gather(std::as_bytes(std::span(&mine, 1)))) {
    RankTimes times;
    std::memcpy(&times, text.data(), sizeof times);
    const std::string weights = fmt::format("{:.2f} GB", static_cast<double>(times.bytes) / 1e9);
    report.table.row({{std::to_string(rows.size())},
                      {std::to_string(times.experts)},
                      {weights},
                      {milliseconds(times.compute)},
                      {milliseconds(times.exchange)},
                      {milliseconds(times.wait)},
                      {milliseconds(times.total)}});
    slowest = std::max(slowest, times.total);
    rows.push_back({{"experts", times.experts},
                    {"weight_bytes", times.bytes},
                    {"compute_seconds", times.compute},
                    {"exchange_seconds", times.exchange},
                    {"wait_seconds", times.wait},
                    {"seconds", times.total}});
  }
  report.json = {{"case", "sharded experts"},
                 {"like", model.name},
                 {"share", options.share},
                 {"ranks", ranks.size()},
                 {"tokens", tokens.tokens},
                 {"activation", kActivations[static_cast<std::size_t>(options.activation)]},
                 {"threads", options.threads},
                 {"experts", model.experts},
                 {"top_k", model.top_k},
                 {"hidden", model.hidden},
                 {"intermediate", model.intermediate},
                 {"received_bytes", bytes_received(plan, model, tokens.tokens)},
                 {"seconds", slowest},
                 {"rows", rows}};
  return report;
}

}  // namespace mxfp4::cli
