// What the calls of layers ask of their arguments.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/layer/experts.h"
#include "mxfp4/layer/options.h"
#include "mxfp4/layer/workspace_internal.h"
#include "mxfp4/tensor/shape.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

inline void check_float(const char* who, const char* what, Dtype given) {
  if (given == Dtype::f32 || given == Dtype::bf16 || given == Dtype::f16) return;
  fail(ErrorCode::invalid_argument, "{}: {} is {}; F32, BF16 and F16 can be", who, what, to_string(given));
}

/// The weights lie on the queue's device.
inline void check_queue(const char* who, const DeviceQueue& queue, Device weights) {
  if (weights == queue.device()) return;
  fail(ErrorCode::invalid_argument, "{}: the weights lie on {}, and the queue is of {}", who,
       to_string(weights), to_string(queue.device()));
}

/// x lies where the call computes from: here, or in the memory of the queue's device, where weights lie too.
inline void check_place(const char* who, const DenseView& x, const DeviceQueue* queue, Device weights) {
  const Device device = queue == nullptr ? Device{} : queue->device();
  if (x.device != device) {
    fail(ErrorCode::invalid_argument, "{}: x lies on {}, and the call is for tensors on {}", who,
         to_string(x.device), to_string(device));
  }
  if (queue != nullptr) check_queue(who, *queue, weights);
}

inline void check_unit(const char* who, const GatedUnit& unit) {
  if (std::isfinite(unit.alpha) && std::isfinite(unit.beta) && unit.limit >= 0) return;
  fail(ErrorCode::invalid_argument, "{}: a gated unit with alpha {}, beta {}, limit {}", who, unit.alpha,
       unit.beta, unit.limit);
}

/// x is [..., columns], and such as dense_view() makes, whatever the strides.
inline void check_input(const char* who, const DenseView& x, std::int64_t columns,
                        const DeviceQueue* queue = nullptr, Device weights = {}) {
  check_place(who, x, queue, weights);
  if (x.rank() == 0 || x.shape.back() != columns) {
    fail(ErrorCode::invalid_argument, "{}: x has shape {}, not [..., {}]", who, to_string(x.shape), columns);
  }
  check_float(who, "x", x.dtype);
  if (x.strides.size() != x.shape.size()) {
    fail(ErrorCode::invalid_argument, "{}: x has shape {} and {} strides", who, to_string(x.shape),
         x.strides.size());
  }
  constexpr std::uint64_t kMost = UINT32_MAX;
  bool possible = byte_size(x.dtype, x.shape).has_value();
  std::uint64_t tokens = 1;
  for (std::size_t d = 0; possible && d + 1 < x.shape.size(); ++d) {
    possible = !__builtin_mul_overflow(tokens, static_cast<std::uint64_t>(x.shape[d]), &tokens);
  }
  if (!possible || tokens > kMost) {
    fail(ErrorCode::invalid_argument,
         "{}: x has shape {}: a size is negative, or they are more than {} tokens or 2^64 bits", who,
         to_string(x.shape), kMost);
  }
}

/// Its dimensions but the last, taken together.
inline std::size_t rows_of(const DenseView& x) noexcept {
  std::size_t rows = 1;
  for (std::size_t d = 0; d + 1 < x.shape.size(); ++d) rows *= static_cast<std::size_t>(x.shape[d]);
  return rows;
}

/// Rows of floats that can be read where they are, or null.
inline const float* as_floats(const DenseView& x) noexcept {
  const bool aligned = reinterpret_cast<std::uintptr_t>(x.data) % alignof(float) == 0;
  const bool plain = x.dtype == Dtype::f32 && x.contiguous() && aligned;
  return plain ? reinterpret_cast<const float*>(x.data) : nullptr;
}

/// All elements.
inline std::vector<float> floats_of(const DenseView& view) {
  std::vector<float> values(static_cast<std::size_t>(view.elements()));
  copy_rows_f32(view, 0, static_cast<std::int64_t>(rows_of(view)), values.data());
  return values;
}

/// The threads that a call uses for at most `items` pieces of work.
inline Context context_for(int threads, Isa isa, std::size_t items) noexcept {
  constexpr std::size_t kMostThreads = 1024;
  const auto most = static_cast<int>(std::min(items, kMostThreads));
  return {std::clamp(threads, 1, std::max(most, 1)), isa, {}};
}

/// The calling thread's workspace(). Throws Error out_of_memory.
inline std::byte* memory_of_call(const char* who, std::size_t tokens, std::size_t bytes,
                                 Kept kept = Kept::call) {
  std::byte* const memory = workspace(bytes, kept);
  if (memory == nullptr) {
    fail(ErrorCode::out_of_memory, "{}: no memory for {} tokens: {} bytes", who, tokens, bytes);
  }
  return memory;
}

}  // namespace mxfp4
