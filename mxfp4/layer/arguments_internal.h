// What the calls of layers ask of their arguments.
#pragma once

#include <algorithm>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/layer/options.h"
#include "mxfp4/layer/workspace_internal.h"
#include "mxfp4/tensor/shape.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

inline void check_float(const char* who, const char* what, Dtype given) {
  if (given == Dtype::f32 || given == Dtype::bf16 || given == Dtype::f16) return;
  fail(ErrorCode::invalid_argument, "{}: {} is {}; F32, BF16 and F16 can be", who, what, to_string(given));
}

/// x is [..., columns].
inline void check_input(const char* who, const DenseView& x, std::int64_t columns) {
  if (x.rank() == 0 || x.shape.back() != columns) {
    fail(ErrorCode::invalid_argument, "{}: x has shape {}, not [..., {}]", who, to_string(x.shape), columns);
  }
  check_float(who, "x", x.dtype);
}

/// The threads that a call uses for at most `items` pieces of work.
inline Context context_for(const ForwardOptions& options, Isa isa, std::size_t items) noexcept {
  constexpr std::size_t kMostThreads = 1024;
  const auto most = static_cast<int>(std::min(items, kMostThreads));
  return {std::clamp(options.threads, 1, std::max(most, 1)), isa};
}

/// The calling thread's workspace(). Throws Error out_of_memory.
inline std::byte* memory_of_call(const char* who, std::size_t tokens, std::size_t bytes) {
  std::byte* const memory = workspace(bytes);
  if (memory == nullptr) {
    fail(ErrorCode::out_of_memory, "{}: no memory for {} tokens: {} bytes", who, tokens, bytes);
  }
  return memory;
}

}  // namespace mxfp4
