#include <algorithm>

#include "mxfp4/job/pass_internal.h"
#include "mxfp4/job/reencode_internal.h"

namespace mxfp4::job {

void look_at_rows(
    const std::vector<BlockRows>& weights, const Options& options,
    const std::function<void(std::size_t weight, std::int64_t begin, const Mxfp4View& rows)>& look) {
  struct Unit {
    std::size_t weight, unit;
  };
  std::vector<Unit> units;
  for (std::size_t weight = 0; weight < weights.size(); ++weight) {
    for (std::size_t unit = 0; unit < weights[weight].units().count(); ++unit)
      units.push_back({weight, unit});
  }
  Pass pass(options.threads, nullptr, options.stop);
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(pass.threads()));
  pass.run(units.size(), [&](int worker, std::size_t index) -> std::uint64_t {
    const auto [weight, unit] = units[index];
    std::vector<std::byte>& own = scratch[static_cast<std::size_t>(worker)];
    own.resize(std::max(own.size(), weights[weight].scratch_bytes()));
    look(weight, weights[weight].units().begin(unit), weights[weight].read(unit, own.data()));
    weights[weight].release(unit);
    return 0;
  });
}

void report_inexact(std::vector<InexactBlocks> inexact, const std::vector<BlockRows>& weights,
                    ConvertReport& report) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (inexact[i].blocks == 0) continue;
    inexact[i].tensor = weights[i].tensor().name;
    report.inexact.push_back(std::move(inexact[i]));
  }
}

}  // namespace mxfp4::job
