// Matrices of one shape as the kernels take them, for one layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/device.h"
#include "mxfp4/kernel/linear_ops.h"
#include "mxfp4/layer/options.h"
#include "mxfp4/layer/weight_memory_internal.h"
#include "mxfp4/tensor/mxfp4_tensor.h"

namespace mxfp4 {

/// kernel::WeightSpread, with its memory.
struct Spread {
  std::vector<float> means, squares;
  float mean_square = 1, fill = 1;

  /// Keeps to `other` as well: the smallest means and fill, and the largest squares.
  void widen(const Spread& other);
};

/// Matrices [N, K] in blocks of 32, packed or used where they lie, and their biases.
class WeightStack {
 public:
  WeightStack() = default;
  /// `who` begins every message: "linear". The bias has N values for every matrix, or none. Throws Error
  /// invalid_argument for another number of biases or unless all matrices are [N, K], of the same shape and
  /// nibble order, in blocks of 32; unsupported if the machine lacks the context's instruction set;
  /// out_of_memory. For a device nothing is packed: its layer takes for_device().
  WeightStack(const std::string& who, std::vector<Mxfp4View> matrices, std::vector<float> bias,
              const LayerOptions& options);

  std::size_t count() const noexcept { return matrices_.size(); }
  std::size_t rows() const noexcept { return rows_; }        ///< N
  std::size_t columns() const noexcept { return columns_; }  ///< K
  std::size_t blocks() const noexcept { return (columns_ + 31) / 32; }
  std::size_t groups() const noexcept { return (rows_ + kernel::kGroupRows - 1) / kernel::kGroupRows; }
  NibbleOrder order() const noexcept { return order_; }
  Isa isa() const noexcept { return isa_; }
  bool packed() const noexcept { return packed_; }
  std::size_t memory() const noexcept;  ///< bytes that it owns

  /// What a layer on a device is made of. It refers to this and to the weights.
  kernel::DeviceMatrices for_device(const LayerOptions& options) const;
  /// The device has them: the matrices may be gone from now on, and the biases are.
  void give_up() noexcept;

  /// Plans are made for the matrices of `other` as well, which has as many rows and columns.
  void plan_for(const WeightStack& other);
  /// The same for a stack of another process: what it says of itself, plan_size() numbers.
  std::vector<float> plan_numbers() const;
  std::size_t plan_size() const noexcept { return 3 + 2 * blocks(); }
  void plan_for(std::span<const float> numbers);
  /// What becomes of a token, and its record. The plan serves every matrix.
  kernel::TokenPlan plan(const float* x, Activation activation) const noexcept;
  std::size_t record_bytes(kernel::TokenFormat format) const noexcept;
  void encode(const float* x, Activation activation, const kernel::TokenPlan& plan,
              std::byte* record) const noexcept;

  /// Groups that one call should take at least.
  std::size_t unit(std::size_t tokens) const noexcept;
  /// For one call, with so many tokens at the most; whole lines.
  std::size_t scratch_bytes(std::size_t tokens) const noexcept;
  /// Outputs of groups [first, first + groups) of one matrix, for tokens sorted by format.
  void multiply(std::size_t matrix, std::size_t first, std::size_t groups, const kernel::Token* tokens,
                std::size_t count, const kernel::Outputs& out, std::byte* scratch) const noexcept;

 private:
  void check(const std::string& who, Isa isa) const;
  void pack(const LayerOptions& options);
  void inspect(const Context& context);
  void sample_spread(const Context& context, std::size_t begin, std::size_t end);
  const kernel::LinearOps& ops() const noexcept { return kernel::cpu_linear_ops(isa_); }

  std::vector<Mxfp4View> matrices_;
  std::vector<float> bias_;
  std::size_t rows_ = 0, columns_ = 0;
  NibbleOrder order_ = NibbleOrder::interleaved;
  Isa isa_ = Isa::scalar;
  bool packed_ = true;
  Spread spread_;      // that every matrix keeps to
  bool wide_ = false;  // whether some group or row of any is
  // Packed: matrix after matrix, group after group.
  WeightMemory memory_;
  std::size_t bytes_ = 0;
  std::vector<kernel::GroupInfo> infos_;
  // Where they lie: rows of all matrices that only the general path can hold, empty if there are none.
  std::vector<std::uint8_t> odd_;
};

/// Cuts `total` units of work into pieces, of which each thread gets several, and calls
/// body(worker, first unit, units) for each.
template <class Body>
void parallel_units(const Context& context, std::size_t total, const Body& body) {
  constexpr std::size_t kPiecesPerThread = 8;  // for threads that are held up to leave work to the others
  const auto threads = static_cast<std::size_t>(context.threads);
  const std::size_t pieces = threads == 1 ? 1 : threads * kPiecesPerThread;
  const std::size_t step = total == 0 ? 1 : (total + pieces - 1) / pieces;
  parallel_for(context, (total + step - 1) / step, [&](int worker, std::size_t piece) {
    const std::size_t first = piece * step;
    body(worker, first, first + step < total ? step : total - first);
  });
}

}  // namespace mxfp4
