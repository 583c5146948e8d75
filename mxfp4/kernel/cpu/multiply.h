// The product of packed weights and tokens. One algorithm over the primitives of an instruction set (dot_*.h;
// what each must do is said in dot_scalar.h).
//
// On every instruction set, for any number of tokens and threads, an output is computed like this:
//
//   sum = 0
//   for each block: sum = fma(float(z) * 2^scale, step / 2, sum)     z: the exact integer product of the
//   block y = sum * 2^(base - 127 + exponent) + bias                       each operation rounded to f32
//
// and with a token of floats: p = 0; for the elements in order: p = fma(w, x, p); sum = fma(p, 2^scale, sum).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/cpu/general_product.h"
#include "mxfp4/kernel/cpu/packed.h"
#include "mxfp4/kernel/cpu/token_format.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

constexpr std::size_t smaller(std::size_t a, std::size_t b) noexcept {  // std::min would be a weak function
  return a < b ? a : b;
}

template <class I>
constexpr std::size_t kLaneBytes = std::size_t{4} * I::kLanes;
template <class I>
constexpr std::size_t kTileRows = std::size_t{I::kTileVectors} * I::kLanes;
template <class I>
constexpr std::size_t kTileGroups = kTileRows<I> / kGroupRows;

/// Adds a block of integers to the sums of R vectors of rows and T tokens. weights.at(r, k) gives
/// the weights of vector r and step k, scales[r] are their scales.
template <class I, int kDigits, int R, int T, class Weights>
[[gnu::always_inline]] inline void add_block(const Weights& weights, const typename I::Floats* scales,
                                             const std::byte* const* records,
                                             typename I::Floats (&sums)[R][T]) noexcept {
  constexpr int kBits = kRadixBits[kDigits - 1];
  typename I::Sum z[kDigits][R][T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 3
    for (int d = 0; d < kDigits; ++d) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) z[d][r][t] = I::start(records[t] + 32 * kDigits + 4 * d);
    }
  }
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {  // the low, then the high nibbles of each vector of codes
    typename I::Weights w[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) w[r] = weights.at(r, k);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 3
      for (int d = 0; d < kDigits; ++d) {
        const typename I::Quad x = I::quad(records[t] + 32 * d + k % 2 * 16 + k / 2 * 4);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) I::add(z[d][r][t], w[r], x);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const typename I::Floats half_step = I::broadcast(records[t] + 36 * kDigits);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      typename I::Ints total = I::total(z[0][r][t]);
#pragma GCC unroll 3
      for (int d = 1; d < kDigits; ++d) total = I::template joined<kBits>(total, I::total(z[d][r][t]));
      sums[r][t] = I::fma(I::times(I::converted(total), scales[r]), half_step, sums[r][t]);
    }
  }
}

// --- up to a few tokens: straight from the packed weights ---

template <class I>
struct PackedWeights {
  const std::byte* codes;  ///< of a block
  [[gnu::always_inline]] typename I::Weights at(int r, int k) const noexcept {
    const std::byte* const from = codes + k / 2 * 64 + static_cast<std::size_t>(r) * kLaneBytes<I>;
    return k % 2 == 0 ? I::template weights<false>(from) : I::template weights<true>(from);
  }
};

/// How far ahead the weights are asked for, while they are used: without that, arithmetic and waiting take
/// turns.
constexpr std::size_t kAhead = 8 << 10;

/// The sums of a group's 16 rows and T tokens: sums[t][row].
template <class I, int kDigits, int T>
[[gnu::noinline]] void direct_group(const std::byte* group, std::size_t blocks,
                                    const std::byte* const* tokens, float* sums) noexcept {
  constexpr std::size_t kStride = 36 * kDigits + 4;
  constexpr int R = I::kVectors;
  typename I::Floats sum[R][T];
  for (auto& vector : sum) {
    for (auto& lane : vector) lane = I::zero();
  }
  const std::byte* records[T];
  for (int t = 0; t < T; ++t) records[t] = tokens[t];
  for (std::size_t first = 0; first < blocks; first += kChunkBlocks) {
    const std::size_t width = smaller(kChunkBlocks, blocks - first);
    const std::byte* codes = group + width * kGroupRows;
    __builtin_prefetch(group + kAhead);
    for (std::size_t b = 0; b < width; ++b, codes += kBlockCodes) {
      for (std::size_t line = 0; line < kBlockCodes; line += 64) __builtin_prefetch(codes + kAhead + line);
      typename I::Floats scales[R];
      for (int r = 0; r < R; ++r) scales[r] = I::scales(group + b * kGroupRows + r * I::kLanes);
      add_block<I, kDigits, R, T>(PackedWeights<I>{codes}, scales, records, sum);
      for (int t = 0; t < T; ++t) records[t] += kStride;
    }
    group += width * kPackedBlock;
  }
  for (int t = 0; t < T; ++t) {
    for (int r = 0; r < R; ++r) I::store(sums + t * kGroupRows + r * I::kLanes, sum[r][t]);
  }
}

/// The same for up to kDirectTokens tokens.
template <class I, int kDigits, int T = I::kDirectTokens[kDigits - 1]>
void direct_tokens(int count, const std::byte* group, std::size_t blocks, const std::byte* const* tokens,
                   float* sums) noexcept {
  if constexpr (T > 1) {
    if (count < T) return direct_tokens<I, kDigits, T - 1>(count, group, blocks, tokens, sums);
  }
  direct_group<I, kDigits, T>(group, blocks, tokens, sums);
}

// --- more tokens: a tile of decoded weights for all of them ---

// Integers: [block][step][vector], floats: [block][element][vector], with the scales of the vectors behind
// all of it.
template <class I>
struct Tile {
  static constexpr std::size_t kStepBytes = I::kTileVectors * kLaneBytes<I>;
  static constexpr std::size_t kIntegerBlocks = 16,
                               kFloatBlocks = 4;  ///< at the most, to stay within the L1 cache
  static constexpr std::size_t kCodes =
      (kIntegerBlocks * 8 > kFloatBlocks * 32 ? kIntegerBlocks * 8 : kFloatBlocks * 32) * kStepBytes;

  alignas(64) std::byte codes[kCodes];
  alignas(64) std::byte scales[kIntegerBlocks * kStepBytes];

  static constexpr std::size_t most_blocks(bool integers, std::size_t tokens) noexcept {
    return !integers ? kFloatBlocks : tokens <= 64 ? kIntegerBlocks / 4 : kIntegerBlocks;
  }

  std::byte* scale(std::size_t block, int r) noexcept {
    return scales + block * kStepBytes + static_cast<std::size_t>(r) * kLaneBytes<I>;
  }

  /// Vector r of a block, from its packed form.
  void decode_integers(std::size_t block, int r, const std::byte* packed) noexcept {
    std::byte* const to = codes + block * 8 * kStepBytes + static_cast<std::size_t>(r) * kLaneBytes<I>;
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      const typename I::Weights low = I::template weights<false>(packed + 64 * j),
                                high = I::template weights<true>(packed + 64 * j);
      std::memcpy(to + 2 * j * kStepBytes, &low, sizeof low);
      std::memcpy(to + (2 * j + 1) * kStepBytes, &high, sizeof high);
    }
  }
  void decode_floats(std::size_t block, int r, const std::byte* packed) noexcept {
    float* to = reinterpret_cast<float*>(codes + block * 32 * kStepBytes) + r * I::kLanes;
    constexpr std::size_t kStep = kStepBytes / sizeof(float);
    for (std::size_t j = 0; j < 4; ++j, packed += 64) {
      const auto put = [&]<std::size_t... i>(std::index_sequence<i...>) noexcept {
        (I::store(to + i * kStep, I::template values<static_cast<int>(i)>(packed)), ...);
      };
      put(std::make_index_sequence<8>{});
      to += 8 * kStep;
    }
  }
};

template <class I>
struct TileWeights {
  const std::byte* block;
  [[gnu::always_inline]] typename I::Weights at(int r, int k) const noexcept {
    typename I::Weights w;
    std::memcpy(&w,
                block + static_cast<std::size_t>(k) * Tile<I>::kStepBytes +
                    static_cast<std::size_t>(r) * kLaneBytes<I>,
                sizeof w);
    return w;
  }
};

/// Adds a block of floats: one product after the other, in the order of the elements.
template <class I, int R, int T>
[[gnu::always_inline]] inline void add_float_block(const std::byte* weights, const typename I::Floats* scales,
                                                   const std::byte* const* records,
                                                   typename I::Floats (&sums)[R][T]) noexcept {
  typename I::Floats p[R][T];
  for (auto& row : p) {
    for (auto& lane : row) lane = I::zero();
  }
  for (int j = 0; j < 4; ++j) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {  // nibble i of vector j
      const int place = i % 2 * 16 + 4 * j + i / 2;
      typename I::Floats w[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) w[r] = I::load(reinterpret_cast<const float*>(weights) + r * I::kLanes);
      weights += Tile<I>::kStepBytes;
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const typename I::Floats x = I::broadcast(records[t] + 4 * place);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) p[r][t] = I::fma(w[r], x, p[r][t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sums[r][t] = I::fma(p[r][t], scales[r], sums[r][t]);
  }
}

/// Adds a tile's blocks to the sums of T tokens: sums[t][row of the tile].
template <class I, int kFormat, int T>
[[gnu::noinline]] void tile_product(const Tile<I>& tile, std::size_t blocks, const std::byte* const* tokens,
                                    float* sums) noexcept {
  constexpr int R = I::kTileVectors;
  constexpr TokenFormat kToken = static_cast<TokenFormat>(kFormat);
  typename I::Floats sum[R][T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      sum[r][t] = I::load(sums + static_cast<std::size_t>(t) * kTileRows<I> + r * I::kLanes);
  }
  const std::byte* records[T];
  for (int t = 0; t < T; ++t) records[t] = tokens[t];
  for (std::size_t b = 0; b < blocks; ++b) {
    typename I::Floats scales[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      scales[r] =
          I::load(reinterpret_cast<const float*>(tile.scales + b * Tile<I>::kStepBytes) + r * I::kLanes);
    }
    if constexpr (is_integers(kToken)) {
      add_block<I, kFormat + 1, R, T>(TileWeights<I>{tile.codes + b * 8 * Tile<I>::kStepBytes}, scales,
                                      records, sum);
    } else {
      add_float_block<I, R, T>(tile.codes + b * 32 * Tile<I>::kStepBytes, scales, records, sum);
    }
    for (int t = 0; t < T; ++t) records[t] += block_record_bytes(kToken);
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      I::store(sums + static_cast<std::size_t>(t) * kTileRows<I> + r * I::kLanes, sum[r][t]);
  }
}

template <class I, int kFormat, int T = I::kTileTokens[kFormat]>
void tile_tokens(std::size_t count, const Tile<I>& tile, std::size_t blocks, const std::byte* const* tokens,
                 float* sums) noexcept {
  if constexpr (T > 1) {
    if (count < T) return tile_tokens<I, kFormat, T - 1>(count, tile, blocks, tokens, sums);
  }
  tile_product<I, kFormat, T>(tile, blocks, tokens, sums);
}

// --- outputs ---

/// y = sum * 2^exponent + bias for n rows of a group, as `dtype`. The power is applied in halves, which are
/// normal numbers: a result is subnormal, or infinite, only if it is.
void write_outputs(const float* sums, std::size_t n, int exponent, const float* bias, Dtype dtype,
                   std::byte* out) noexcept {
  const float first = f32_power_of_two(exponent / 2), second = f32_power_of_two(exponent - exponent / 2);
  float y[kGroupRows];
  for (std::size_t i = 0; i < kGroupRows; ++i) y[i] = sums[i] * first * second;
  if (bias != nullptr) {
    for (std::size_t i = 0; i < n; ++i) y[i] += bias[i];
  }
  if (dtype == Dtype::f32) {
    std::memcpy(out, y, n * sizeof(float));
    return;
  }
  std::uint16_t halves[kGroupRows];
  for (std::size_t i = 0; i < n; ++i) halves[i] = dtype == Dtype::bf16 ? f32_to_bf16(y[i]) : f32_to_f16(y[i]);
  std::memcpy(out, halves, n * sizeof(std::uint16_t));
}

// --- all of it ---

template <class I>
class Multiplication {
 public:
  explicit Multiplication(const MultiplyArgs& args) noexcept
      : args_(args), group_bytes_(packed_group_bytes(args.blocks)) {}

  void run() const noexcept {
    const std::size_t end = args_.first_group + args_.groups;
    for (std::size_t group = args_.first_group; group < end; group += kTileGroups<I>) {
      const std::size_t count = smaller(kTileGroups<I>, end - group);
      for (std::size_t first = 0, last = 0; first < args_.count; first = last) {
        const TokenFormat format = args_.tokens[first].plan.format;
        while (last < args_.count && args_.tokens[last].plan.format == format) ++last;
        panel(group, count, format, first, last - first);
      }
    }
  }

 private:
  const std::byte* packed(std::size_t group) const noexcept { return args_.weights + group * group_bytes_; }

  void panel(std::size_t group, std::size_t groups, TokenFormat format, std::size_t first,
             std::size_t count) const noexcept {
    switch (format) {
      case TokenFormat::digits1:
        integers<1>(group, groups, first, count);
        break;
      case TokenFormat::digits2:
        integers<2>(group, groups, first, count);
        break;
      case TokenFormat::digits3:
        integers<3>(group, groups, first, count);
        break;
      case TokenFormat::floats:
        tiles<static_cast<int>(TokenFormat::floats)>(group, groups, first, count);
        break;
      case TokenFormat::raw:
        break;
    }
    for (std::size_t g = group; g < group + groups; ++g) {
      if (args_.info[g].wide || format == TokenFormat::raw) {
        for (std::size_t t = first; t < first + count; ++t) general_product(args_, g, args_.tokens[t]);
      }
    }
  }

  template <int kDigits>
  void integers(std::size_t group, std::size_t groups, std::size_t first, std::size_t count) const noexcept {
    if (count > I::kMostDirect) return tiles<kDigits - 1>(group, groups, first, count);
    constexpr std::size_t kMost = I::kDirectTokens[kDigits - 1];
    alignas(64) float sums[kMost * kGroupRows];
    for (std::size_t g = group; g < group + groups; ++g) {
      for (std::size_t t = 0; t < count; t += kMost) {
        const std::size_t n = smaller(kMost, count - t);
        const std::byte* records[kMost];
        for (std::size_t i = 0; i < n; ++i) records[i] = args_.tokens[first + t + i].record;
        direct_tokens<I, kDigits>(static_cast<int>(n), packed(g), args_.blocks, records, sums);
        for (std::size_t i = 0; i < n; ++i) write(g, args_.tokens[first + t + i], sums + i * kGroupRows);
      }
    }
  }

  template <int kFormat>
  void tiles(std::size_t group, std::size_t groups, std::size_t first, std::size_t count) const noexcept {
    constexpr TokenFormat kToken = static_cast<TokenFormat>(kFormat);
    constexpr std::size_t kMost = I::kTileTokens[kFormat];
    auto& tile = *reinterpret_cast<Tile<I>*>(args_.scratch);
    float* const sums = reinterpret_cast<float*>(args_.scratch + sizeof(Tile<I>));
    std::memset(sums, 0, count * kTileRows<I> * sizeof(float));
    const std::size_t most_blocks = Tile<I>::most_blocks(is_integers(kToken), count);
    for (std::size_t b = 0; b < args_.blocks; b += most_blocks) {
      const std::size_t blocks = smaller(most_blocks, args_.blocks - b);
      for (std::size_t g = 0; g < groups; ++g) decode(tile, is_integers(kToken), group + g, g, b, blocks);
      for (std::size_t t = 0; t < count; t += kMost) {
        const std::size_t n = smaller(kMost, count - t);
        const std::byte* records[kMost];
        for (std::size_t i = 0; i < n; ++i) {
          records[i] = args_.tokens[first + t + i].record + b * block_record_bytes(kToken);
        }
        tile_tokens<I, kFormat>(n, tile, blocks, records, sums + t * kTileRows<I>);
      }
    }
    for (std::size_t t = 0; t < count; ++t) {
      for (std::size_t g = 0; g < groups; ++g) {
        write(group + g, args_.tokens[first + t], sums + t * kTileRows<I> + g * kGroupRows);
      }
    }
  }

  /// Blocks [first, first + blocks) of a group into the tile, as its group `place`.
  void decode(Tile<I>& tile, bool integers, std::size_t group, std::size_t place, std::size_t first,
              std::size_t blocks) const noexcept {
    const std::byte* const from = packed(group);
    for (std::size_t b = 0; b < blocks; ++b) {
      const PackedBlock at = packed_block(first + b, args_.blocks);
      for (std::size_t line = 0; line < kBlockCodes; line += 64) {
        __builtin_prefetch(from + at.codes + blocks * kPackedBlock + line, 0, 2);
      }
      for (int v = 0; v < I::kVectors; ++v) {
        const int r = static_cast<int>(place) * I::kVectors + v;
        const std::byte* const codes = from + at.codes + static_cast<std::size_t>(v) * kLaneBytes<I>;
        I::store(reinterpret_cast<float*>(tile.scale(b, r)), I::scales(from + at.scales + v * I::kLanes));
        integers ? tile.decode_integers(b, r, codes) : tile.decode_floats(b, r, codes);
      }
    }
  }

  void write(std::size_t group, const Token& token, const float* sums) const noexcept {
    if (args_.info[group].wide) return;  // the general path does
    const std::size_t row = group * kGroupRows;
    write_outputs(
        sums, smaller(kGroupRows, args_.rows - row), args_.info[group].base - 127 + token.plan.exponent,
        args_.bias == nullptr ? nullptr : args_.bias + row, args_.dtype,
        static_cast<std::byte*>(token.out) + row * static_cast<std::size_t>(bits_of(args_.dtype)) / 8);
  }

  const MultiplyArgs& args_;
  std::size_t group_bytes_;
};

template <class I>
void multiply(const MultiplyArgs& args) noexcept {
  Multiplication<I>(args).run();
}

template <class I>
std::size_t preferred_groups(std::size_t) noexcept {
  return kTileGroups<I>;
}

template <class I>
std::size_t scratch_bytes(std::size_t tokens) noexcept {
  return sizeof(Tile<I>) + tokens * kTileRows<I> * sizeof(float);
}

}  // namespace
}  // namespace mxfp4::kernel
