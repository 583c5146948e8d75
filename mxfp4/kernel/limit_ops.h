// What one core of a machine can do at best: what the kernels for layers are measured against.
#pragma once

#include <cstddef>

#include "mxfp4/base/context.h"

namespace mxfp4::kernel {

/// Memory to read, in `streams` equal runs side by side. Bytes beyond whole lines of 64 are left.
struct ReadArgs {
  const void* in = nullptr;
  std::size_t bytes = 0;
  int streams = 1;           ///< 1, 2 or 4
  std::size_t prefetch = 0;  ///< ask for what lies so many bytes ahead; 0: leave that to the machine
};

/// Loops that do one thing as fast as an instruction set can. Every member is thread-safe and does not throw.
struct LimitOps {
  void (*read)(const ReadArgs&) noexcept;
  /// Does some operations per round, in registers, and returns how many; a multiplication with its addition
  /// counts as two.
  double (*int8_dots)(std::size_t rounds) noexcept;  ///< products of 8-bit integers, summed
  double (*f32_fmas)(std::size_t rounds) noexcept;   ///< a * b + c of f32
};

/// The loops for an instruction set; the machine must support it.
const LimitOps& cpu_limit_ops(Isa isa) noexcept;

}  // namespace mxfp4::kernel
