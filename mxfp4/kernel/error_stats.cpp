#include "mxfp4/kernel/error_stats.h"

#include <cmath>
#include <limits>

namespace mxfp4 {

double ErrorStats::sqnr_db() const noexcept {
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

void ErrorStats::add(const ErrorStats& other) noexcept {
  signal += other.signal;
  noise += other.noise;
  elements += other.elements;
  blocks += other.blocks;
  lossless_blocks += other.lossless_blocks;
  saturated += other.saturated;
  for (std::size_t byte = 0; byte < scales.size(); ++byte) scales[byte] += other.scales[byte];
}

}  // namespace mxfp4
