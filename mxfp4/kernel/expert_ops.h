// What a backend computes for mixtures of experts besides their matrix products.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/base/context.h"

namespace mxfp4::kernel {

/// A gated linear unit on tokens whose gate and up projections are there:
///
///   gate = min(gate, limit), up = min(max(up, -limit), limit)
///   out = gate * sigmoid(alpha * gate) * (up + beta)
struct GatedUnitArgs {
  const float* gate = nullptr;  ///< of the first token
  const float* up = nullptr;
  bool alternate = false;     ///< gate 0, up 0, gate 1, up 1, ... from `gate` on; `up` is not used
  std::size_t in_stride = 0;  ///< floats from token to token, of gate and of up
  std::size_t tokens = 0;
  std::size_t columns = 0;  ///< of out
  float alpha = 1, beta = 0, limit = 0;
  float* out = nullptr;
  std::size_t out_stride = 0;  ///< floats
};

/// Which token a row belongs to, and what it is worth there.
struct Route {
  std::uint32_t token = 0;
  float weight = 0;
};

/// out[token] += weight * in[i], with routes[i], for i in [0, count).
struct AddRoutesArgs {
  const float* in = nullptr;
  std::size_t in_stride = 0;  ///< floats
  const Route* routes = nullptr;
  std::size_t count = 0;
  std::size_t columns = 0;
  float* out = nullptr;        ///< of token 0
  std::size_t out_stride = 0;  ///< floats
};

/// out[t, n] = sum over k of x[t, k] w[n, k] + bias[n], all f32.
struct DotsArgs {
  const float* x = nullptr;
  std::size_t x_stride = 0;  ///< floats
  std::size_t tokens = 0;
  const float* weights = nullptr;  ///< rows without gaps
  std::size_t rows = 0;
  std::size_t columns = 0;
  const float* bias = nullptr;  ///< or null
  float* out = nullptr;
  std::size_t out_stride = 0;  ///< floats
};

/// The same bits on every instruction set. Every member is thread-safe and does not throw.
struct ExpertOps {
  void (*gated_unit)(const GatedUnitArgs&) noexcept;
  void (*add_routes)(const AddRoutesArgs&) noexcept;
  void (*dots)(const DotsArgs&) noexcept;
};

/// The kernels for an instruction set; the machine must support it.
const ExpertOps& cpu_expert_ops(Isa isa) noexcept;

}  // namespace mxfp4::kernel
