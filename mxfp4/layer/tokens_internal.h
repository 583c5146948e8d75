// The tokens of a call, as the kernels take them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/layer/weight_stack_internal.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// A token before it is known where its outputs go.
struct TokenRecord {
  kernel::TokenPlan plan;
  const std::byte* record = nullptr;
};

/// Makes the records of rows, on several threads if they are many.
class TokenRecords {
 public:
  /// The rows of a view, or `rows` rows of floats without gaps. Refers to its arguments.
  TokenRecords(const DenseView& x, const WeightStack& weights, Activation activation,
               const Context& context) noexcept;
  TokenRecords(const float* x, std::size_t rows, const WeightStack& weights, Activation activation,
               const Context& context) noexcept;

  std::size_t count() const noexcept { return count_; }
  /// Memory for the worst case.
  std::size_t bytes() const noexcept { return bytes(count_, weights_, context_); }
  static std::size_t bytes(std::size_t rows, const WeightStack& weights, const Context& context) noexcept;
  /// The record of every row, in `memory` of bytes().
  const TokenRecord* run(std::byte* memory) const;

 private:
  template <class Body>
  void for_each_row(float* buffers, const Body& body) const;

  const DenseView* view_ = nullptr;  ///< or
  const float* floats_ = nullptr;    ///< rows that can be taken as they are, or copied from here
  const WeightStack& weights_;
  Activation activation_;
  Context context_;
  std::size_t count_;
};

/// Fills tokens [0, count), sorted by format and in order within a format: for each i one with the record of
/// row(i) and the place place(i).
template <class Row, class Place>
void sort_by_format(const TokenRecord* records, std::size_t count, kernel::Token* tokens, const Row& row,
                    const Place& place) {
  std::size_t next[kernel::kTokenFormats + 1] = {};
  const auto format = [&](std::size_t i) { return static_cast<int>(records[row(i)].plan.format); };
  for (std::size_t i = 0; i < count; ++i) ++next[format(i) + 1];
  for (int f = 0; f < kernel::kTokenFormats; ++f) next[f + 1] += next[f];
  for (std::size_t i = 0; i < count; ++i) {
    const TokenRecord& record = records[row(i)];
    tokens[next[format(i)]++] = {record.plan, record.record, static_cast<std::uint32_t>(place(i))};
  }
}

}  // namespace mxfp4
