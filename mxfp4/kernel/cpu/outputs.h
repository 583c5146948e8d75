// Sums to outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/cpu/token_format.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

/// y = sum * 2^exponent + bias for n rows of a group, `row` rows behind the first that is asked for. The
/// power is applied in halves, which are normal numbers: a result is subnormal, or infinite, only if it is.
void write_outputs(const float* sums, std::size_t n, int exponent, const float* bias, const Outputs& to,
                   std::size_t place, std::size_t row) noexcept {
  std::byte* const out = output_at(to, place, row);
  const float first = f32_power_of_two(exponent / 2), second = f32_power_of_two(exponent - exponent / 2);
  float y[kGroupRows];
  for (std::size_t i = 0; i < kGroupRows; ++i) y[i] = sums[i] * first * second;
  if (bias != nullptr) {
    for (std::size_t i = 0; i < n; ++i) y[i] += bias[i];
  }
  if (to.dtype == Dtype::f32) {
    std::memcpy(out, y, n * sizeof(float));
    return;
  }
  std::uint16_t halves[kGroupRows];
  for (std::size_t i = 0; i < n; ++i)
    halves[i] = to.dtype == Dtype::bf16 ? f32_to_bf16(y[i]) : f32_to_f16(y[i]);
  std::memcpy(out, halves, n * sizeof(std::uint16_t));
}

}  // namespace
}  // namespace mxfp4::kernel
