// A pass over memory that computes nothing: what the kernels are measured against.
#pragma once

#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {
namespace {

template <class I, bool kStreaming>
void stream_bytes(const StreamArgs& args) noexcept {
  constexpr std::size_t kLine = 64;
  const auto* const in = static_cast<const std::byte*>(args.in);
  auto* const out = static_cast<std::byte*>(args.out);
  const std::size_t in_lines = args.in_bytes / kLine, out_lines = args.out_bytes / kLine;
  const std::size_t steps = in_lines < out_lines ? in_lines : out_lines;
  auto mixed = I::zero();
  std::size_t read = 0, written = 0;
  for (std::size_t step = 1; step <= steps; ++step) {
    for (const std::size_t end = step * in_lines / steps; read < end; ++read) {
      if (args.prefetch != 0) __builtin_prefetch(in + read * kLine + args.prefetch);
      for (std::size_t at = 0; at < kLine; at += sizeof mixed)
        mixed = I::mix(mixed, I::load(in + read * kLine + at));
    }
    for (const std::size_t end = step * out_lines / steps; written < end; ++written) {
      for (std::size_t at = 0; at < kLine; at += sizeof mixed) {
        I::template store<kStreaming>(out + written * kLine + at, mixed);
      }
    }
  }
  if (kStreaming) I::fence();
}

template <class I>
void stream(const StreamArgs& args) noexcept {
  const bool aligned = reinterpret_cast<std::uintptr_t>(args.out) % I::kVectorBytes == 0;
  args.streaming&& aligned ? stream_bytes<I, true>(args) : stream_bytes<I, false>(args);
}

}  // namespace
}  // namespace mxfp4::kernel
