#include "mxfp4/cli/bench_limits.h"

#include <algorithm>

#include <fmt/format.h>

#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/limit_ops.h"

namespace mxfp4::cli {
namespace {

constexpr int kStreams[] = {1, 2, 4};
constexpr std::size_t kAhead[] = {0, 4096};  // bytes
constexpr std::size_t kReads = std::size(kStreams) * std::size(kAhead);
constexpr std::size_t kPiecesPerThread = 4;  // so that a thread that is held up does not hold up all
constexpr double kPeakSeconds =
    3e-4;  // of a call: starting threads takes little of it, other programs interrupt few
constexpr double kMostDrift = 0.15;
constexpr double kLeastScaling = 0.75;

void read_copy(const Context& context, const std::byte* copy, std::size_t bytes, int streams,
               std::size_t prefetch) {
  const std::size_t lines = bytes / 64, pieces = static_cast<std::size_t>(context.threads) * kPiecesPerThread;
  static const Isa isa = best_isa();
  parallel_for(context, pieces, [&](int, std::size_t piece) {
    const std::size_t first = lines * piece / pieces, last = lines * (piece + 1) / pieces;
    kernel::cpu_limit_ops(isa).read({copy + first * 64, (last - first) * 64, streams, prefetch});
  });
}

using Peak = double (*)(std::size_t) noexcept;

Candidate peak_candidate(const std::string& name, Peak peak, const Context& context) {
  std::size_t rounds = 1024;
  const auto run = [&] { peak(rounds); };
  while (std::min({seconds_of(run), seconds_of(run), seconds_of(run)}) < kPeakSeconds) rounds *= 2;
  const auto threads = static_cast<std::size_t>(context.threads);
  return {name, peak(rounds) * context.threads,
          [=] { parallel_for(context, threads, [&](int, std::size_t) { peak(rounds); }); }};
}

}  // namespace

std::vector<Candidate> limit_candidates(const Context& context, Rotation& weights, std::size_t bytes) {
  std::vector<Candidate> candidates;
  for (const std::size_t ahead : kAhead) {
    for (const int streams : kStreams) {
      candidates.push_back({fmt::format("read, {} stream{}{}", streams, streams == 1 ? "" : "s",
                                        ahead == 0 ? "" : ", prefetching"),
                            static_cast<double>(bytes / 64 * 64), [=, &weights] {
                              read_copy(context, weights.copy(weights.next()), bytes, streams, ahead);
                            }});
    }
  }
  const kernel::LimitOps& ops = kernel::cpu_limit_ops(context.isa);
  candidates.push_back(peak_candidate("int8 dot product", ops.int8_dots, context));
  candidates.push_back(peak_candidate("f32 FMA", ops.f32_fmas, context));
  if (context.threads > 1) {
    candidates.push_back(
        peak_candidate("int8 dot product, 1 thread", ops.int8_dots, Context{1, context.isa}));
  }
  return candidates;
}

Limits::Limits(const Context& context, std::vector<Timed> timed)
    : context_(context), timed_(std::move(timed)), int8_dots_(kReads) {
  for (std::size_t i = 1; i < kReads; ++i) {
    if (timed_[i].rate() > timed_[best_read_].rate()) best_read_ = i;
  }
}

Limit Limits::roofline(double bytes, double operations, bool int8) const {
  const Timed& peak = int8 ? int8_dots() : f32_fmas();
  const double reading = bytes / read().rate(), computing = operations / peak.rate();
  return reading >= computing ? Limit{"read bandwidth", true, read().rate(), reading}
                              : Limit{peak.name, false, peak.rate(), computing};
}

Json Limits::to_json() const {
  Json json = {{"read bandwidth", read().rate() / 1e9}};
  for (const Timed& timed : timed_) json[timed.name] = timed.rate() / 1e9;
  return json;
}

std::vector<std::string> Limits::warnings() const {
  std::vector<std::string> warnings;
  for (const Timed* timed : {&read(), &int8_dots(), &f32_fmas()}) {
    if (timed->drift() <= kMostDrift) continue;
    warnings.push_back(fmt::format("the limit '{}' moved by {:.0f} % between the two halves of the run",
                                   timed->name, 100 * timed->drift()));
  }
  if (context_.threads > 1) {
    const double scaling = int8_dots().rate() / timed_.back().rate();
    if (scaling < kLeastScaling * context_.threads) {
      warnings.push_back(fmt::format("{} threads compute {:.1f} times what one does: processors are shared",
                                     context_.threads, scaling));
    }
  }
  return warnings;
}

}  // namespace mxfp4::cli
