// One call of a quantising kernel and all that it gives, for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {

struct Quantized {
  std::vector<std::uint8_t> codes, scales;
  ErrorStats stats;
  std::size_t refused = kNone;
};

/// Runs `args` into memory of its own.
inline Quantized quantized(const Ops& ops, QuantizeArgs args, bool with_stats = true) {
  const auto size = static_cast<std::size_t>(args.block_size);
  const std::size_t blocks = args.rows * ((args.columns + size - 1) / size);
  Quantized result;
  result.codes.resize(blocks * size / 2);
  result.scales.resize(blocks);
  args.codes = result.codes.data();
  args.scales = result.scales.data();
  args.stats = with_stats ? &result.stats : nullptr;
  result.refused = ops.quantize(args);
  return result;
}

/// What `ops` measures of bytes that are there.
inline ErrorStats measured(const Ops& ops, QuantizeArgs args, Quantized bytes) {
  ErrorStats stats;
  args.codes = bytes.codes.data();
  args.scales = bytes.scales.data();
  args.stats = &stats;
  ops.measure(args);
  return stats;
}

}  // namespace mxfp4::kernel
