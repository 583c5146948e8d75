#include <algorithm>
#include <cstdint>

#include "mxfp4/base/parallel.h"
#include "mxfp4/layer/arguments_internal.h"
#include "mxfp4/layer/tokens_internal.h"
#include "mxfp4/layer/workspace_internal.h"

namespace mxfp4 {
namespace {

using kernel::kTokenFormats;
using kernel::TokenFormat;

/// Elements from which other threads are worth waking.
constexpr std::size_t kManyElements = 1 << 16;

}  // namespace

TokenRecords::TokenRecords(const DenseView& x, const WeightStack& weights, Activation activation,
                           const Context& context) noexcept
    : TokenRecords(as_floats(x), rows_of(x), weights, activation, context) {
  view_ = &x;
}

TokenRecords::TokenRecords(const float* x, std::size_t rows, const WeightStack& weights,
                           Activation activation, const Context& context) noexcept
    : floats_(x), weights_(weights), activation_(activation), context_(context), count_(rows) {
  if (count_ * weights.columns() < kManyElements) context_.threads = 1;
}

std::size_t TokenRecords::bytes(std::size_t rows, const WeightStack& weights,
                                const Context& context) noexcept {
  std::size_t record = 0;
  for (int format = 0; format < kTokenFormats; ++format) {
    record = std::max(record, weights.record_bytes(static_cast<TokenFormat>(format)));
  }
  return rows * whole_lines(record) + whole_lines(rows * sizeof(TokenRecord)) +
         static_cast<std::size_t>(context.threads) * whole_lines(weights.blocks() * 32 * sizeof(float));
}

/// Calls body(row number, its elements as f32, completed with zeros to whole blocks).
template <class Body>
void TokenRecords::for_each_row(float* buffers, const Body& body) const {
  const std::size_t columns = weights_.columns(), padded = weights_.blocks() * 32;
  parallel_for(context_, count_, [&](int worker, std::size_t row) {
    if (floats_ != nullptr && columns == padded) return body(row, floats_ + row * columns);
    float* const buffer =
        buffers + static_cast<std::size_t>(worker) * whole_lines(padded * sizeof(float)) / sizeof(float);
    if (floats_ != nullptr) {
      std::copy_n(floats_ + row * columns, columns, buffer);
    } else {
      copy_rows_f32(*view_, static_cast<std::int64_t>(row), static_cast<std::int64_t>(row) + 1, buffer);
    }
    std::fill(buffer + columns, buffer + padded, 0.0f);
    body(row, buffer);
  });
}

const TokenRecord* TokenRecords::run(std::byte* memory) const {
  Pieces pieces(memory);
  auto* const records = pieces.take<TokenRecord>(count_);
  auto* const buffers = reinterpret_cast<float*>(pieces.take(
      static_cast<std::size_t>(context_.threads) * whole_lines(weights_.blocks() * 32 * sizeof(float))));
  for_each_row(buffers,
               [&](std::size_t row, const float* x) { records[row].plan = weights_.plan(x, activation_); });
  for (std::size_t row = 0; row < count_; ++row) {
    records[row].record = pieces.take(weights_.record_bytes(records[row].plan.format));
  }
  for_each_row(buffers, [&](std::size_t row, const float* x) {
    weights_.encode(x, activation_, records[row].plan, const_cast<std::byte*>(records[row].record));
  });
  return records;
}

}  // namespace mxfp4
