// The product of tokens and rows as a checkpoint has them. One algorithm over the primitives of an
// instruction set (rows_*.h; what each must do is said in rows_scalar.h).
//
// On every instruction set, for any number of tokens and threads, an output is computed like this:
//
//   sum[16] = 0                                       lane l: code bytes 4 l .. 4 l + 3 of each 64, the last
//   for each 64 code bytes of the row, in each lane:  completed with zeros
//     sum = fma(float(z) * 2^(byte - 127), step / 2, sum)     z: the exact integer product of the lane
//   add lanes l and l + 8, then l and l + 4, then l and l + 2, then the last two
//   y = sum * 2^exponent + bias                               each operation rounded to f32
//
// and with a token of floats: p = 0; for the nibbles of the lane: p = fma(w, x, p);
// sum = fma(p, 2^(byte - 127), sum). Rows of scales beyond f32's range are left to general_row().
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "mxfp4/kernel/cpu/direct_product.h"
#include "mxfp4/kernel/cpu/general_product.h"
#include "mxfp4/kernel/cpu/outputs.h"
#include "mxfp4/kernel/cpu/rows_format.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

/// Adds vector `kPart` of a chunk's lanes to the sums of T tokens. `at`: where the chunk begins in records.
template <class I, int kFormat, int kPart, int T>
[[gnu::always_inline]] inline void add_row_part(const std::byte* codes, const std::byte* scales,
                                                const std::byte* const* records, std::size_t at,
                                                typename I::Floats (&sums)[T]) noexcept {
  constexpr std::size_t kLane = kPart * kLaneBytes<I>;
  const typename I::Floats scale = I::template chunk_scales<kPart>(scales);
  if constexpr (is_integers(static_cast<TokenFormat>(kFormat))) {
    constexpr int kDigits = kFormat + 1;
    constexpr std::size_t kStarts = kDigits * kRowPlane, kSteps = kStarts + kRowLanes * 4;
    const typename I::Codes lane_codes = I::codes(codes + kLane);
    const typename I::Weights low = I::template weights<false>(lane_codes),
                              high = I::template weights<true>(lane_codes);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      const std::byte* const record = records[t] + at + kLane;
      const typename I::Ints z = add_digits<I, kDigits>(I::ints(record + kStarts), low, high, record);
      sums[t] = I::fma(I::times(I::converted(z), scale), I::floats(record + kSteps), sums[t]);
    }
  } else {
    typename I::Floats p[T];
#pragma GCC unroll 4
    for (auto& lane : p) lane = I::zero();
    const auto add = [&]<std::size_t i>(std::integral_constant<std::size_t, i>) noexcept {
      const typename I::Floats w = I::template values<static_cast<int>(i)>(codes + kLane);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        p[t] = I::fma(w, I::floats(records[t] + at + kLane + i * kRowLanes * 4), p[t]);
      }
    };
    const auto add_all = [&]<std::size_t... i>(std::index_sequence<i...>) noexcept {
      (add(std::integral_constant<std::size_t, i>{}), ...);
    };
    add_all(std::make_index_sequence<8>{});
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) sums[t] = I::fma(p[t], scale, sums[t]);
  }
}

/// The products of a row and T tokens: sums[t * kGroupRows].
template <class I, int kFormat, int T, Prefetch kPrefetch>
[[gnu::noinline]] void row_product(const std::byte* codes, const std::byte* scales, std::size_t blocks,
                                   const std::byte* const* tokens, float* sums) noexcept {
  constexpr std::size_t kStride = row_chunk_bytes(static_cast<TokenFormat>(kFormat));
  constexpr int kParts = static_cast<int>(kRowLanes) / I::kLanes;
  typename I::Floats sum[kParts][T];
#pragma GCC unroll 4
  for (auto& part : sum) {
#pragma GCC unroll 4
    for (auto& lanes : part) lanes = I::zero();
  }
  const std::byte* records[T];
  for (int t = 0; t < T; ++t) records[t] = tokens[t];
  alignas(64) std::byte last_codes[kRowChunkCodes];
  std::byte last_scales[kRowChunk];
  for (std::size_t b = 0, at = 0; b < blocks; b += kRowChunk, at += kStride) {
    if (const std::size_t left = blocks - b; left < kRowChunk) {  // nothing behind the row is read
      std::memset(last_codes, 0, sizeof last_codes);
      std::memset(last_scales, 0, sizeof last_scales);
      for (std::size_t i = 0; i < left; ++i) {
        std::memcpy(last_codes + 16 * i, codes + 16 * i, 16);
        last_scales[i] = scales[i];
      }
      codes = last_codes;
      scales = last_scales;
    }
    ask_for_line<kPrefetch>(codes + kAhead);
    add_row_part<I, kFormat, 0, T>(codes, scales, records, at, sum[0]);
    if constexpr (kParts > 1) add_row_part<I, kFormat, 1, T>(codes, scales, records, at, sum[1]);
    if constexpr (kParts > 2) {
      add_row_part<I, kFormat, 2, T>(codes, scales, records, at, sum[2]);
      add_row_part<I, kFormat, 3, T>(codes, scales, records, at, sum[3]);
    }
    codes += kRowChunkCodes;
    scales += kRowChunk;
  }
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
    typename I::Floats parts[kParts];
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part) parts[part] = sum[part][t];
    sums[static_cast<std::size_t>(t) * kGroupRows] = I::sum_of_lanes(parts);
  }
}

/// `rows` rows, sixteen at the most, from `first` on, and up to kRowTokens tokens of one format.
template <class I, int kFormat>
void rows_and_tokens(const RowsArgs& args, std::size_t first, std::size_t rows, const Token* tokens,
                     std::size_t count) noexcept {
  float sums[I::kRowTokens * kGroupRows] = {};
  const std::byte* records[I::kRowTokens];
  for (std::size_t t = 0; t < count; ++t) records[t] = tokens[t].record;
  const bool near = prefetch_for_rows() == Prefetch::near;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto* const scales = reinterpret_cast<const std::byte*>(args.scales) + (first + row) * args.blocks;
    for (std::size_t b = 0; b < args.blocks; b += 64) ask_for_line<Prefetch::far>(scales + b + kAhead / 16);
    const auto* const codes =
        reinterpret_cast<const std::byte*>(args.codes) + (first + row) * args.blocks * 16;
    with_constant<I::kRowTokens>(count, [&]<int T>(std::integral_constant<int, T>) noexcept {
      const auto product =
          near ? row_product<I, kFormat, T, Prefetch::near> : row_product<I, kFormat, T, Prefetch::far>;
      product(codes, scales, args.blocks, records, sums + row);
    });
  }
  for (std::size_t t = 0; t < count; ++t) {
    write_outputs(sums + t * kGroupRows, rows, tokens[t].plan.exponent - kRowExponent,
                  args.bias == nullptr ? nullptr : args.bias + first, args.out, tokens[t].place,
                  first - args.first_row);
  }
}

template <class I>
void multiply_rows(const RowsArgs& args) noexcept {
  const std::size_t end = args.first_row + args.rows;
  for (std::size_t row = args.first_row; row < end; row += kGroupRows) {
    const std::size_t rows = smaller(kGroupRows, end - row);
    for (std::size_t t = 0, n = 0; t < args.count; t += n) {
      const Token* const tokens = args.tokens + t;
      const TokenFormat format = tokens->plan.format;
      for (n = 1; n < I::kRowTokens && t + n < args.count && tokens[n].plan.format == format;) ++n;
      switch (format) {
        case TokenFormat::digits1:
          rows_and_tokens<I, 0>(args, row, rows, tokens, n);
          break;
        case TokenFormat::digits2:
          rows_and_tokens<I, 1>(args, row, rows, tokens, n);
          break;
        case TokenFormat::digits3:
          rows_and_tokens<I, 2>(args, row, rows, tokens, n);
          break;
        case TokenFormat::floats:
          rows_and_tokens<I, 3>(args, row, rows, tokens, n);
          break;
        case TokenFormat::raw:
          break;
      }
      for (std::size_t r = row; r < row + rows; ++r) {
        if (format != TokenFormat::raw && (args.odd == nullptr || args.odd[r] == 0)) continue;
        for (std::size_t i = 0; i < n; ++i) general_row(args, r, tokens[i]);
      }
    }
  }
}

}  // namespace
}  // namespace mxfp4::kernel
