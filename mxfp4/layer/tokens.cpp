#include <algorithm>
#include <cstdint>

#include "mxfp4/base/parallel.h"
#include "mxfp4/layer/tokens_internal.h"
#include "mxfp4/layer/workspace_internal.h"

namespace mxfp4 {
namespace {

using kernel::kTokenFormats;
using kernel::Token;
using kernel::TokenFormat;
using kernel::TokenPlan;

/// Elements from which other threads are worth waking.
constexpr std::size_t kManyElements = 1 << 16;

std::size_t rows_of(const DenseView& x) noexcept {
  std::size_t rows = 1;
  for (std::size_t d = 0; d + 1 < x.shape.size(); ++d) rows *= static_cast<std::size_t>(x.shape[d]);
  return rows;
}

}  // namespace

TokenRecords::TokenRecords(const DenseView& x, const WeightTraits& weight, kernel::Activation activation,
                           const kernel::LinearOps& ops, const Context& context) noexcept
    : x_(x), weight_(weight), activation_(activation), ops_(ops), context_(context), count_(rows_of(x)) {
  if (count_ * weight.columns < kManyElements) context_.threads = 1;
}

std::size_t TokenRecords::bytes() const noexcept {
  std::size_t record = 0;
  for (int format = 0; format < kTokenFormats; ++format) {
    record = std::max(record, record_bytes(static_cast<TokenFormat>(format)));
  }
  return count_ * whole_lines(record) + whole_lines(count_ * sizeof(Token)) +
         whole_lines(count_ * sizeof(TokenPlan)) + whole_lines(count_ * sizeof(std::uint32_t)) +
         static_cast<std::size_t>(context_.threads) * whole_lines(weight_.blocks() * 32 * sizeof(float));
}

/// Calls body(row number, its elements as f32, completed with zeros to whole blocks).
template <class Body>
void TokenRecords::for_each_row(float* buffers, const Body& body) const {
  const std::size_t columns = weight_.columns, padded = weight_.blocks() * 32;
  const bool as_it_is = x_.dtype == Dtype::f32 && columns == padded && x_.contiguous() &&
                        reinterpret_cast<std::uintptr_t>(x_.data) % alignof(float) == 0;
  parallel_for(context_, count_, [&](int worker, std::size_t row) {
    if (as_it_is) return body(row, reinterpret_cast<const float*>(x_.data) + row * columns);
    float* const buffer =
        buffers + static_cast<std::size_t>(worker) * whole_lines(padded * sizeof(float)) / sizeof(float);
    copy_rows_f32(x_, static_cast<std::int64_t>(row), static_cast<std::int64_t>(row) + 1, buffer);
    std::fill(buffer + columns, buffer + padded, 0.0f);
    body(row, buffer);
  });
}

const Token* TokenRecords::run(std::byte* memory, std::byte* out, std::size_t row_bytes) {
  const std::size_t blocks = weight_.blocks();
  Pieces pieces(memory);
  auto* const tokens = pieces.take<Token>(count_);
  auto* const plans = pieces.take<TokenPlan>(count_);
  auto* const places = pieces.take<std::uint32_t>(count_);  // of row i among the tokens
  auto* const buffers = reinterpret_cast<float*>(
      pieces.take(static_cast<std::size_t>(context_.threads) * whole_lines(blocks * 32 * sizeof(float))));

  for_each_row(buffers, [&](std::size_t row, const float* x) {
    plans[row] = ops_.plan({x, blocks, activation_, weight_.spread(), weight_.as_floats()});
  });
  std::size_t first[kTokenFormats + 1] = {};
  for (std::size_t row = 0; row < count_; ++row) ++first[static_cast<int>(plans[row].format) + 1];
  for (int format = 0; format < kTokenFormats; ++format) first[format + 1] += first[format];
  for (std::size_t row = 0; row < count_; ++row) {
    const std::size_t place = first[static_cast<int>(plans[row].format)]++;
    places[row] = static_cast<std::uint32_t>(place);
    tokens[place] = {plans[row], nullptr, out + row * row_bytes};
  }
  for (std::size_t i = 0; i < count_; ++i) {
    tokens[i].record = pieces.take(record_bytes(tokens[i].plan.format));
  }
  for_each_row(buffers, [&](std::size_t row, const float* x) {
    const Token& token = tokens[places[row]];
    const auto encode = weight_.packed ? ops_.encode : ops_.encode_for_rows;
    encode({x, blocks, activation_, weight_.order, token.plan, const_cast<std::byte*>(token.record)});
  });
  return tokens;
}

}  // namespace mxfp4
