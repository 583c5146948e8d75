#include "mxfp4/quantize/tensor_error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/nibble.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kUnitElements = 1
                                       << 18;  // of a unit of work, roughly; it follows from the shape alone

void add_element(double x, double q, double scale, TensorError& error) {
  const double difference = std::fabs(x - q);
  error.signal += x * x;
  error.noise += difference * difference;
  error.energy += q * q;
  error.product += x * q;
  error.max_error = std::max(error.max_error, difference);
  ++error.elements;
  error.saturated += std::fabs(x) > static_cast<double>(kE2m1Max) * scale;
  error.sign_flips += x * q < 0 || (x < 0 && q > 0) || (x > 0 && q < 0);  // a product may underflow
}

TensorError error_of_row(const float* x, const Mxfp4View& t, std::int64_t row) {
  const std::int64_t columns = t.columns(), first_block = row * t.blocks_per_row();
  TensorError error;
  for (std::int64_t b = 0; b * t.block_size < columns; ++b) {
    const std::uint8_t* const codes = t.codes + (first_block + b) * (t.block_size / 2);
    const std::uint8_t byte = t.scales[first_block + b];
    const std::int64_t begin = b * t.block_size, end = std::min(begin + t.block_size, columns);
    if (byte == kE8m0Nan) {
      error.left_out += static_cast<std::uint64_t>(end - begin);
      continue;
    }
    const double scale = power_of_two(byte - kE8m0Bias);
    for (std::int64_t i = begin; i < end; ++i) {
      if (!is_finite(x[i])) {
        ++error.left_out;
        continue;
      }
      const std::uint8_t code = nibble(codes, static_cast<std::size_t>(i - begin), t.order);
      add_element(static_cast<double>(x[i]), static_cast<double>(e2m1_value(code)) * scale, scale, error);
    }
  }
  return error;
}

void check(const DenseView& x, const Mxfp4View& t, std::span<TensorError> rows) {
  if (!is_dense_float(x.dtype)) {
    fail(ErrorCode::invalid_argument, "tensor_error: dtype {} is none of F32, BF16, F16", to_string(x.dtype));
  }
  if (x.shape != t.shape) {
    fail(ErrorCode::invalid_argument, "tensor_error: shape {} against {}", to_string(x.shape),
         to_string(t.shape));
  }
  if (t.block_size != 32 && t.block_size != 16) {
    fail(ErrorCode::invalid_argument, "tensor_error: block size {} is neither 32 nor 16", t.block_size);
  }
  if (!rows.empty() && static_cast<std::int64_t>(rows.size()) != t.rows()) {
    fail(ErrorCode::invalid_argument, "tensor_error: room for {} rows of {}", rows.size(), t.rows());
  }
}

}  // namespace

double TensorError::sqnr_db() const noexcept {
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

double TensorError::relative_error() const noexcept {
  return noise == 0 ? 0 : std::sqrt(noise / signal);
}

double TensorError::cosine() const noexcept {
  if (signal == 0 && energy == 0) return 1;
  return product / (std::sqrt(signal) * std::sqrt(energy));
}

void TensorError::add(const TensorError& other) noexcept {
  signal += other.signal;
  noise += other.noise;
  energy += other.energy;
  product += other.product;
  max_error = std::max(max_error, other.max_error);
  elements += other.elements;
  left_out += other.left_out;
  saturated += other.saturated;
  sign_flips += other.sign_flips;
}

TensorError tensor_error(const DenseView& x, const Mxfp4View& t, std::span<TensorError> rows,
                         const Context& context) {
  check(x, t, rows);
  const std::int64_t columns = t.columns(), count = columns == 0 ? 0 : t.rows();
  const std::int64_t per_unit = std::max<std::int64_t>(kUnitElements / std::max<std::int64_t>(columns, 1), 1);
  std::vector<TensorError> units(static_cast<std::size_t>((count + per_unit - 1) / per_unit));
  parallel_for(context, units.size(), [&](int, std::size_t unit) {
    const std::int64_t begin = static_cast<std::int64_t>(unit) * per_unit,
                       end = std::min(begin + per_unit, count);
    std::vector<float> elements(static_cast<std::size_t>((end - begin) * columns));
    copy_rows_f32(x, begin, end, elements.data());
    for (std::int64_t row = begin; row < end; ++row) {
      const TensorError error = error_of_row(elements.data() + (row - begin) * columns, t, row);
      if (!rows.empty()) rows[static_cast<std::size_t>(row)] = error;
      units[unit].add(error);
    }
  });
  TensorError total;
  for (const TensorError& unit : units) total.add(unit);
  return total;
}

}  // namespace mxfp4
