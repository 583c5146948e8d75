// The loops of limit_ops.h over the primitives of an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "mxfp4/kernel/cpu/opaque.h"
#include "mxfp4/kernel/limit_ops.h"

namespace mxfp4::kernel {
namespace {

template <class I, int kStreams>
void read_streams(const ReadArgs& args) noexcept {
  constexpr std::size_t kLine = 64;
  const auto* const in = static_cast<const std::byte*>(args.in);
  const std::size_t lines = args.bytes / kLine / kStreams;
  auto mixed = I::zero();
  for (std::size_t line = 0; line < lines; ++line) {
    for (std::size_t stream = 0; stream < kStreams; ++stream) {
      const std::byte* const at = in + (stream * lines + line) * kLine;
      if (args.prefetch != 0) __builtin_prefetch(at + args.prefetch);
      for (std::size_t i = 0; i < kLine; i += sizeof mixed) mixed = I::mix(mixed, I::load(at + i));
    }
  }
  asm volatile("" : : "m"(mixed));
}

template <class I>
void read(const ReadArgs& args) noexcept {
  args.streams == 4   ? read_streams<I, 4>(args)
  : args.streams == 2 ? read_streams<I, 2>(args)
                      : read_streams<I, 1>(args);
}

/// Chains of multiply-adds that do not wait for each other: more than two per cycle times the four or five
/// cycles that one takes, and with their operand no more than 16 registers hold.
inline constexpr std::size_t kChains = 12;

template <class Step, std::size_t... kChain>
double run_chains(std::size_t rounds, std::index_sequence<kChain...>) noexcept {
  const auto a = Step::operand();
  typename Step::Vector sums[] = {(static_cast<void>(kChain), Step::start())...};
  for (std::size_t round = 0; round < rounds; ++round) {
    ((sums[kChain] = Step::add(sums[kChain], a)), ...);
    (make_opaque(sums[kChain]), ...);
  }
  return static_cast<double>(rounds * kChains * Step::kOperations);
}

template <class Step>
double run_chains(std::size_t rounds) noexcept {
  return run_chains<Step>(rounds, std::make_index_sequence<kChains>());
}

}  // namespace
}  // namespace mxfp4::kernel
