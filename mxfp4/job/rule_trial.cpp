#include <algorithm>
#include <cstring>

#include "mxfp4/job/rule_trial_internal.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::job {
namespace {

/// A worker's memory.
struct Scratch {
  std::vector<float> original, model, expanded;
  std::vector<std::uint8_t> codes, scales;

  void reserve() {
    const auto elements = static_cast<std::size_t>(Strips::kElements);
    for (std::vector<float>* floats : {&original, &model, &expanded}) floats->resize(elements);
    codes.resize(elements / 2);
    scales.resize(elements / kBlockSize);
  }
};

std::uint64_t same_blocks(const float* a, const float* b, std::size_t blocks) noexcept {
  std::uint64_t same = 0;
  for (std::size_t block = 0; block < blocks; ++block, a += kBlockSize, b += kBlockSize)
    same += std::equal(a, a + kBlockSize, b);
  return same;
}

// Quantises the original in `scratch` by `rule` and holds the result against the model's values there.
RuleTrial try_rule(ScaleRule rule, std::size_t rows, std::size_t columns, Scratch& scratch) noexcept {
  const kernel::Ops& ops = kernel::cpu_ops(default_isa());
  ErrorStats stats;
  kernel::QuantizeArgs quantize;
  quantize.x = scratch.original.data();
  quantize.rows = rows;
  quantize.columns = columns;
  quantize.recipe = {rule, Ties::even, NonFinite::nan_block};
  quantize.codes = scratch.codes.data();
  quantize.scales = scratch.scales.data();
  quantize.stats = &stats;
  ops.quantize(quantize);
  kernel::DequantizeArgs dequantize;
  dequantize.codes = scratch.codes.data();
  dequantize.scales = scratch.scales.data();
  dequantize.rows = rows;
  dequantize.columns = columns;
  dequantize.out = scratch.expanded.data();
  ops.dequantize(dequantize);
  const std::size_t blocks = rows * columns / kBlockSize;
  return {{stats.signal, stats.noise},
          stats.saturated,
          same_blocks(scratch.expanded.data(), scratch.model.data(), blocks)};
}

Trial try_strip(const Matched::Pair& pair, const Strips::Strip& strip, Scratch& scratch) {
  pair.a.read(strip.row, strip.row_end, strip.column, strip.column_end, scratch.original.data());
  pair.b.read(strip.row, strip.row_end, strip.column, strip.column_end, scratch.model.data());
  const auto rows = static_cast<std::size_t>(strip.row_end - strip.row);
  const auto columns = static_cast<std::size_t>(strip.column_end - strip.column);
  Trial trial;
  trial.elements = rows * columns;
  trial.blocks = trial.elements / kBlockSize;
  const Distance own = distance(scratch.original.data(), scratch.model.data(), rows * columns);
  trial.error = {own.signal, own.noise};
  for (const ScaleRuleInfo& rule : kScaleRules)
    trial.rules[static_cast<std::size_t>(rule.rule)] = try_rule(rule.rule, rows, columns, scratch);
  return trial;
}

}  // namespace

Strips::Strips(const Shape& shape) {
  columns_ = shape.empty() ? 0 : shape.back();
  rows_ = columns_ == 0 ? 0 : element_count(shape) / columns_;
  if (rows_ == 0) return;
  rows_per_strip_ = std::max<std::int64_t>(kElements / columns_, 1);
  strips_per_row_ = (columns_ + kElements - 1) / kElements;
  all_ = (rows_ + rows_per_strip_ - 1) / rows_per_strip_ * strips_per_row_;
  count_ = std::min(all_, kSampleElements / kElements);
}

Strips::Strip Strips::operator[](std::size_t index) const noexcept {
  // The middle of the index-th of count_ equal parts; every strip, if there are no more.
  const std::int64_t number = (2 * static_cast<std::int64_t>(index) + 1) * all_ / (2 * count_);
  const std::int64_t row = number / strips_per_row_ * rows_per_strip_;
  const std::int64_t column = number % strips_per_row_ * kElements;
  return {row, std::min(row + rows_per_strip_, rows_), column, std::min(column + kElements, columns_)};
}

std::vector<Trial> try_rules(const std::vector<Matched::Pair>& pairs, Pass& pass) {
  struct Unit {
    std::size_t pair;
    Strips::Strip strip;
    Trial result;
  };
  std::vector<Unit> units;
  for (std::size_t pair = 0; pair < pairs.size(); ++pair) {
    const Strips strips(pairs[pair].a.shape());
    for (std::size_t i = 0; i < strips.count(); ++i) units.push_back({pair, strips[i], {}});
  }
  std::vector<Scratch> scratch(static_cast<std::size_t>(pass.threads()));
  pass.run(units.size(), [&](int worker, std::size_t index) -> std::uint64_t {
    Scratch& memory = scratch[static_cast<std::size_t>(worker)];
    if (memory.codes.empty()) memory.reserve();
    Unit& unit = units[index];
    const Matched::Pair& pair = pairs[unit.pair];
    unit.result = try_strip(pair, unit.strip, memory);
    if (unit.strip.column_end == pair.a.shape().back()) {
      pair.a.release(unit.strip.row, unit.strip.row_end);
      pair.b.release(unit.strip.row, unit.strip.row_end);
    }
    return unit.result.elements * sizeof(float);
  });
  std::vector<Trial> trials(pairs.size());
  for (const Unit& unit : units) trials[unit.pair].add(unit.result);
  return trials;
}

std::uint64_t sample_bytes(const Matched::Pair& pair) {
  const Strips strips(pair.a.shape());
  std::uint64_t elements = 0;
  for (std::size_t i = 0; i < strips.count(); ++i) {
    const Strips::Strip strip = strips[i];
    elements += static_cast<std::uint64_t>((strip.row_end - strip.row) * (strip.column_end - strip.column));
  }
  return elements * sizeof(float);
}

}  // namespace mxfp4::job
