#include <algorithm>
#include <cmath>

#include "mxfp4/job/quantize_job.h"

namespace mxfp4::job {

ErrorStats QuantizeReport::total() const noexcept {
  ErrorStats total;
  for (const PlannedTensor& tensor : tensors) total.add(tensor.stats);
  return total;
}

double QuantizeReport::bits_per_weight() const noexcept {
  double bits = 0, elements = 0;
  for (const PlannedTensor& tensor : tensors) {
    if (!tensor.quantized) continue;
    const auto count = static_cast<double>(element_count(tensor.shape));
    bits += tensor.bits_per_weight * count;
    elements += count;
  }
  return elements == 0 ? 0 : bits / elements;
}

std::vector<const PlannedTensor*> QuantizeReport::worst_first() const {
  std::vector<const PlannedTensor*> worst;
  for (const PlannedTensor& tensor : tensors) {
    if (tensor.quantized && tensor.stats.elements > 0) worst.push_back(&tensor);
  }
  std::stable_sort(worst.begin(), worst.end(),
                   [](const auto* a, const auto* b) { return a->stats.sqnr_db() < b->stats.sqnr_db(); });
  return worst;
}

double QuantizeReport::median_sqnr_db() const {
  const std::vector<const PlannedTensor*> worst = worst_first();
  if (worst.empty()) return std::nan("");
  const std::size_t middle = worst.size() / 2;
  const double upper = worst[middle]->stats.sqnr_db();
  if (worst.size() % 2 == 1) return upper;
  return (worst[middle - 1]->stats.sqnr_db() + upper) / 2;
}

}  // namespace mxfp4::job
