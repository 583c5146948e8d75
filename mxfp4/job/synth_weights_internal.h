// Random weights that depend on a key alone: the same on every machine, whoever makes them, in whatever
// order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace mxfp4::job {

/// Key of one unit of one tensor.
std::uint64_t random_key(std::uint64_t seed, std::string_view tensor, std::uint64_t unit) noexcept;

/// Fills `out` with BF16 elements of N(0, 0.02). Its size is a multiple of 2.
void random_bf16(std::uint64_t key, std::span<std::byte> out);

/// Fills blocks of 32 as weights of N(0, 0.02) would look in MXFP4: scales.size() scale bytes and 16 times as
/// many bytes of codes, interleaved.
void random_mxfp4(std::uint64_t key, std::span<std::byte> codes, std::span<std::byte> scales);

}  // namespace mxfp4::job
