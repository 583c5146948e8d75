// The product of packed weights and tokens. One algorithm over the primitives of an instruction set (dot_*.h;
// what each must do is said in dot_scalar.h).
//
// On every instruction set, for any number of tokens and threads, an output is computed like this:
//
//   sum = 0
//   for each block, z the exact integer product: sum = fma(float(z), step / 2 * 2^scale, sum)
//   y = sum * 2^(base - 127 + exponent) + bias
//
// each operation rounded to f32. With a token of floats: p = 0; for the elements in order: p = fma(w, x, p);
// sum = fma(p, 2^scale, sum).
#pragma once

#include <cstddef>
#include <cstring>

#include "mxfp4/kernel/cpu/direct_product.h"
#include "mxfp4/kernel/cpu/general_product.h"
#include "mxfp4/kernel/cpu/outputs.h"
#include "mxfp4/kernel/cpu/packed.h"
#include "mxfp4/kernel/cpu/prefetch.h"
#include "mxfp4/kernel/cpu/tile_product.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

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
        floats(group, groups, first, count);
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

  /// How many of the tokens go first: about as many every time, since few alone are slow.
  static constexpr std::size_t shared(std::size_t tokens, std::size_t passes) noexcept {
    return (tokens + passes - 1) / passes;
  }

  template <int kDigits>
  void integers(std::size_t group, std::size_t groups, std::size_t first, std::size_t count) const noexcept {
    if (count > I::kMostDirect) return tiles<kDigits - 1>(group, groups, first, count);
    constexpr std::size_t kMost = I::kDirectTokens[kDigits - 1];
    const bool near = prefetch_for(count) == Prefetch::near;
    direct<kMost>(group, groups, first, count, [near]<int T>(std::integral_constant<int, T>) noexcept {
      constexpr Prefetch kOther = T == 1 ? Prefetch::none : Prefetch::far;
      return near ? direct_group<I, kDigits, T, Prefetch::near> : direct_group<I, kDigits, T, kOther>;
    });
  }

  void floats(std::size_t group, std::size_t groups, std::size_t first, std::size_t count) const noexcept {
    constexpr std::size_t kMost = I::kDirectFloats;
    if (count > kMost) return tiles<static_cast<int>(TokenFormat::floats)>(group, groups, first, count);
    const bool near = prefetch_for_rows() == Prefetch::near;
    direct<kMost>(group, groups, first, count, [near]<int T>(std::integral_constant<int, T>) noexcept {
      return near ? direct_float_group<I, T, Prefetch::near> : direct_float_group<I, T, Prefetch::far>;
    });
  }

  /// kernel(integral_constant of T): what makes the sums of T tokens, kMost at the most, and a group.
  template <std::size_t kMost, class Kernel>
  void direct(std::size_t group, std::size_t groups, std::size_t first, std::size_t count,
              const Kernel& kernel) const noexcept {
    alignas(64) float sums[kMost * kGroupRows];
    for (std::size_t g = group; g < group + groups; ++g) {
      std::size_t passes = (count + kMost - 1) / kMost;
      for (std::size_t t = 0, n = 0; t < count; t += n, --passes) {
        n = shared(count - t, passes);
        const std::byte* records[kMost];
        for (std::size_t i = 0; i < n; ++i) records[i] = args_.tokens[first + t + i].record;
        with_constant<kMost>(
            n, [&](auto constant) noexcept { kernel(constant)(packed(g), args_.blocks, records, sums); });
        for (std::size_t i = 0; i < n; ++i) write(g, args_.tokens[first + t + i], sums + i * kGroupRows);
      }
    }
  }

  template <int kFormat, bool kMatrices>
  static constexpr std::size_t most_tokens() noexcept {
    if constexpr (kMatrices) {
      return I::Matrix::kTokens[kFormat];
    } else {
      return I::kTileTokens[kFormat];
    }
  }

  template <int kFormat>
  void tiles(std::size_t group, std::size_t groups, std::size_t first, std::size_t count) const noexcept {
    constexpr TokenFormat kToken = static_cast<TokenFormat>(kFormat);
    constexpr bool kMatrices = kMultipliesMatrices<I> && is_integers(kToken);
    constexpr std::size_t kMost = most_tokens<kFormat, kMatrices>();
    auto& tile = *reinterpret_cast<Tile<I>*>(args_.scratch);
    float* const sums = reinterpret_cast<float*>(args_.scratch + sizeof(Tile<I>));
    std::memset(sums, 0, count * kTileRows<I> * sizeof(float));
    const std::size_t most_blocks = Tile<I>::most_blocks(is_integers(kToken), count);
    for (std::size_t b = 0; b < args_.blocks; b += most_blocks) {
      const std::size_t blocks = smaller(most_blocks, args_.blocks - b);
      for (std::size_t g = 0; g < groups; ++g) decode(tile, is_integers(kToken), group + g, g, b, blocks);
      std::size_t passes = (count + kMost - 1) / kMost;
      for (std::size_t t = 0, n = 0; t < count; t += n, --passes) {
        n = kMatrices ? smaller(kMost, count - t) : shared(count - t, passes);
        const std::byte* records[kMost];
        for (std::size_t i = 0; i < n; ++i) {
          records[i] = args_.tokens[first + t + i].record + b * block_record_bytes(kToken);
        }
        float* const to = sums + t * kTileRows<I>;
        if constexpr (kMatrices) {
          I::Matrix::template product<kFormat + 1>(tile.codes, tile.all_exponents, blocks, records, n, to);
        } else {
          with_constant<kMost>(n, [&]<int T>(std::integral_constant<int, T>) noexcept {
            tile_product<I, kFormat, T>(tile, blocks, records, to);
          });
        }
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
        const typename I::Ints exponents = I::exponents(from + at.scales + v * I::kLanes);
        std::memcpy(tile.exponents(b, r), &exponents, sizeof exponents);
        integers ? tile.decode_integers(b, r, codes) : tile.decode_floats(b, r, codes);
      }
    }
  }

  void write(std::size_t group, const Token& token, const float* sums) const noexcept {
    if (args_.info[group].wide) return;  // the general path does
    const std::size_t row = group * kGroupRows;
    write_outputs(sums, smaller(kGroupRows, args_.rows - row),
                  args_.info[group].base - 127 + token.plan.exponent,
                  args_.bias == nullptr ? nullptr : args_.bias + row, args_.out, token.place,
                  row - args_.first_group * kGroupRows);
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
