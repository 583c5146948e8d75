// The kernels of expert_ops.h: plain C++, which the compilers turn into vectors. Every operation is rounded
// on its own, so that all instruction sets give the same bits.
#pragma once

#include <cstddef>
#include <cstring>

#include "mxfp4/kernel/cpu/block_product.h"
#include "mxfp4/kernel/cpu/eight.h"
#include "mxfp4/kernel/expert_ops.h"

namespace mxfp4::kernel {
namespace {

constexpr std::size_t kEight = 8;

/// NaN stays NaN.
[[gnu::always_inline]] inline Floats8 at_most(const Floats8& x, float limit) noexcept {
  return x > limit ? Floats8{} + limit : x;
}
[[gnu::always_inline]] inline Floats8 at_least(const Floats8& x, float limit) noexcept {
  return x < limit ? Floats8{} + limit : x;
}

/// 2^n, also where that is subnormal or infinite, times x.
[[gnu::always_inline]] inline Floats8 times_power_of_two(const Floats8& x, const Ints8& n) noexcept {
  const Ints8 half = n >> 1;
  return x * floats_of_bits((half + 127) << 23) * floats_of_bits((n - half + 127) << 23);
}

/// e^x, to 0.7 units in the last place: with n = round(x / ln 2) and r = x - n ln 2, e^x = 2^n e^r, and
/// e^r = 1 + r + r^2 g(r) on |r| <= ln(2) / 2. g interpolates (e^r - 1 - r) / r^2 at Chebyshev's nodes.
[[gnu::always_inline]] inline Floats8 exponential(const Floats8& given) noexcept {
  constexpr float kInverse = 0x1.715476p0f;                      // 1 / ln 2
  constexpr float kLn2 = 0x1.62e4p-1f, kRest = 0x1.7f7d1cp-20f;  // ln 2, its first 15 bits exactly
  const Floats8 x = at_least(at_most(given, 89.0f), -104.0f);
  const Ints8 n = rounded(x * kInverse);
  const Floats8 whole = __builtin_convertvector(n, Floats8);
  const Floats8 r = (x - whole * kLn2) - whole * kRest;
  Floats8 g = r * 0x1.6d110ap-10f + 0x1.120b6ep-7f;
  g = g * r + 0x1.55551ap-5f;
  g = g * r + 0x1.5554dcp-3f;
  g = g * r + 0x1p-1f;
  return times_power_of_two(g * r * r + r + 1.0f, n);
}

/// x * sigmoid(alpha x).
[[gnu::always_inline]] inline Floats8 gated(const Floats8& x, float alpha) noexcept {
  return x / (exponential(x * -alpha) + 1.0f);
}

[[gnu::always_inline]] inline Floats8 unit(const GatedUnitArgs& args, const Floats8& gate,
                                           const Floats8& up) noexcept {
  const Floats8 clamped = at_least(at_most(up, args.limit), -args.limit);
  return gated(at_most(gate, args.limit), args.alpha) * (clamped + args.beta);
}

void gated_unit(const GatedUnitArgs& given) noexcept {
  const GatedUnitArgs args = given;  // out of reach of the stores
  for (std::size_t t = 0; t < args.tokens; ++t) {
    const float* const first = args.gate + t * args.in_stride;
    const float* const second = args.alternate ? first : args.up + t * args.in_stride;
    float* const out = args.out + t * args.out_stride;
    for (std::size_t i = 0; i < args.columns; i += kEight) {
      const std::size_t n = smaller(kEight, args.columns - i);
      float in[2 * kEight] = {}, done[kEight];
      const float* gates = first + i;
      const float* ups = second + i;
      if (args.alternate) {
        const float* pairs = first + 2 * i;
        if (n < kEight) {
          std::memcpy(in, pairs, 2 * n * sizeof(float));
          pairs = in;
        }
        const Floats8 low = load_eight(pairs), high = load_eight(pairs + kEight);
        const Floats8 gate = __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
        const Floats8 up = __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15);
        const Floats8 result = unit(args, gate, up);
        std::memcpy(done, &result, sizeof done);
      } else {
        if (n < kEight) {
          std::memcpy(in, gates, n * sizeof(float));
          std::memcpy(in + kEight, ups, n * sizeof(float));
          gates = in;
          ups = in + kEight;
        }
        const Floats8 result = unit(args, load_eight(gates), load_eight(ups));
        std::memcpy(done, &result, sizeof done);
      }
      std::memcpy(out + i, done, n * sizeof(float));
    }
  }
}

void add_routes(const AddRoutesArgs& given) noexcept {
  const AddRoutesArgs args = given;  // out of reach of the stores
  for (std::size_t i = 0; i < args.count; ++i) {
    const float* const in = args.in + i * args.in_stride;
    float* const out = args.out + args.routes[i].token * args.out_stride;
    const float weight = args.routes[i].weight;
    std::size_t c = 0;
    for (; c + kEight <= args.columns; c += kEight) {
      const Floats8 sum = load_eight(out + c) + load_eight(in + c) * weight;
      std::memcpy(out + c, &sum, sizeof sum);
    }
    for (; c < args.columns; ++c) out[c] += in[c] * weight;
  }
}

/// Dot products of T tokens and N rows: lane l sums the columns l, l + 8, ...; then the lanes are joined.
template <int T, int N>
void dots_of(const DotsArgs& args, std::size_t token, std::size_t row) noexcept {
  const float* const x = args.x + token * args.x_stride;
  const float* const w = args.weights + row * args.columns;
  Floats8 sums[T][N] = {};
  std::size_t k = 0;
  const auto add = [&](const Floats8(&in)[T], const Floats8(&weights)[N]) noexcept {
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sums[t][n] += in[t] * weights[n];
    }
  };
  for (; k + kEight <= args.columns; k += kEight) {
    Floats8 in[T], weights[N];
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t) in[t] = load_eight(x + static_cast<std::size_t>(t) * args.x_stride + k);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) weights[n] = load_eight(w + static_cast<std::size_t>(n) * args.columns + k);
    add(in, weights);
  }
  if (const std::size_t left = args.columns - k; left > 0) {
    Floats8 in[T] = {}, weights[N] = {};
    for (std::size_t t = 0; t < T; ++t) std::memcpy(&in[t], x + t * args.x_stride + k, left * sizeof(float));
    for (std::size_t n = 0; n < N; ++n)
      std::memcpy(&weights[n], w + n * args.columns + k, left * sizeof(float));
    add(in, weights);
  }
  for (std::size_t t = 0; t < T; ++t) {
    for (std::size_t n = 0; n < N; ++n) {
      const float sum =
          joined_lanes(sums[t][n], [](const Floats8& a, const Floats8& b) noexcept { return a + b; });
      args.out[(token + t) * args.out_stride + row + n] =
          args.bias == nullptr ? sum : sum + args.bias[row + n];
    }
  }
}

void dots(const DotsArgs& args) noexcept {
  const auto rows_of = [&]<int T>(std::size_t token) noexcept {
    std::size_t row = 0;
    for (; row + 4 <= args.rows; row += 4) dots_of<T, 4>(args, token, row);
    for (; row < args.rows; ++row) dots_of<T, 1>(args, token, row);
  };
  std::size_t token = 0;
  for (; token + 2 <= args.tokens; token += 2) rows_of.template operator()<2>(token);
  if (token < args.tokens) rows_of.template operator()<1>(token);
}

}  // namespace
}  // namespace mxfp4::kernel
