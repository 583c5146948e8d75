#include <cstring>

#include <fmt/format.h>

#include "mxfp4/base/parallel.h"
#include "mxfp4/cli/bench_kinds.h"
#include "mxfp4/cli/bench_weights.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::cli {
namespace {

constexpr std::size_t kPiecesPerThread = 4;  // so that a thread that is held up does not hold up all

}  // namespace

BenchReport bench_pack(const BenchOptions& options) {
  BenchWeights weights(options, 2);
  const Context context{options.threads, default_isa()};
  const kernel::LinearOps& ops = kernel::cpu_linear_ops(context.isa);
  const std::size_t groups = (weights.rows + kernel::kGroupRows - 1) / kernel::kGroupRows;
  const std::size_t group_bytes = ops.group_bytes(weights.blocks);
  Rotation packed(std::max(groups * group_bytes, weights.bytes()), 2);
  std::vector<kernel::GroupInfo> info(groups);
  const auto in_pieces = [&](std::size_t count, const auto& body) {
    const std::size_t pieces = static_cast<std::size_t>(context.threads) * kPiecesPerThread;
    parallel_for(context, pieces, [&](int, std::size_t piece) {
      const std::size_t first = count * piece / pieces;
      body(first, count * (piece + 1) / pieces - first);
    });
  };
  const auto bytes = static_cast<double>(weights.bytes());
  const std::vector<Timed> timed =
      time_in_turns({{"pack", bytes,
                      [&] {
                        const std::size_t from = weights.rotation.next();
                        std::byte* const to = packed.copy(packed.next());
                        in_pieces(groups, [&](std::size_t first, std::size_t count) {
                          ops.pack({weights.codes(from), weights.scales(from), weights.rows, weights.blocks,
                                    first, count, to + first * group_bytes, info.data() + first});
                        });
                      }},
                     {"memcpy", bytes, [&] {
                        const std::byte* const from = weights.rotation.copy(weights.rotation.next());
                        std::byte* const to = packed.copy(packed.next());
                        in_pieces(weights.bytes(), [&](std::size_t first, std::size_t count) {
                          std::memcpy(to + first, from + first, count);
                        });
                      }}});
  const Timed &pack = timed.front(), &copy = timed.back();
  const double percent = 100 * copy.median() / pack.median();
  BenchReport report{{},
                     Table({{"on " + std::string(to_string(context.isa))},
                            {"GB/s of weights", Align::right},
                            {"of the limit", Align::right}}),
                     {}};
  report.json["results"] = Json::array({{{"case", pack.name},
                                         {"rows", weights.rows},
                                         {"cols", weights.columns},
                                         {"threads", options.threads},
                                         {"isa", to_string(context.isa)},
                                         {"seconds", pack.median()},
                                         {"gb_per_s", pack.rate() / 1e9},
                                         {"limit", {{"name", copy.name}, {"value", copy.rate() / 1e9}}},
                                         {"percent_of_limit", percent},
                                         {"weight_bytes", weights.bytes()},
                                         {"packed_bytes", groups * group_bytes}}});
  report.json["limits"] = {{copy.name, copy.rate() / 1e9}};
  report.table.row(
      {{pack.name}, {fmt::format("{:.2f}", pack.rate() / 1e9)}, {fmt::format("{:.0f} %", percent)}});
  report.table.row({{copy.name}, {fmt::format("{:.2f}", copy.rate() / 1e9)}, {"100 %"}});
  return report;
}

}  // namespace mxfp4::cli
