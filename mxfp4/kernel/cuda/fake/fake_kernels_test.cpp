// The kernels on the processor: what they have in common with the host's tests, around it plain loops.
#include <cstring>
#include <random>
#include <vector>

#include "mxfp4/kernel/cuda/dequantize_value.h"
#include "mxfp4/kernel/cuda/device/codec_kernels.h"
#include "mxfp4/kernel/cuda/device/expert_kernels.h"
#include "mxfp4/kernel/cuda/device/pack_kernels.h"
#include "mxfp4/kernel/cuda/device/plain_kernels.h"
#include "mxfp4/kernel/cuda/device/product_kernels.h"
#include "mxfp4/kernel/cuda/fake/test_fake.h"
#include "mxfp4/kernel/cuda/test_emulator.h"

namespace mxfp4::kernel::cuda {
namespace {

float load(const void* x, std::size_t i, Dtype dtype) {
  if (dtype == Dtype::f32) return static_cast<const float*>(x)[i];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(x)[i];
  return dtype == Dtype::bf16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

/// Block `out` of a line, as a thread of the strided kernel quantises it.
void quantize_block(const QuantizeLaunch& of, const std::vector<float>& given, std::size_t out,
                    unsigned long long first) {
  std::vector<float> x = given;
  const int n = static_cast<int>(x.size());
  for (float& value : x) value = of.rule.through_bf16 ? bf16_to_f32(f32_to_bf16(value)) : value;
  const Scan seen = scan(x.data(), n);
  for (std::size_t i = 0; i < x.size() && of.rule.nonfinite == NonFinite::error; ++i) {
    if (!is_finite(x[i]) && first + i < *of.refused) *of.refused = first + i;
  }
  const Choice choice = choose(seen.most, of.rule);
  const int byte = of.rule.optimal ? decide(choice, excess(x.data(), n, choice)) : choice.byte;
  const bool nan = nan_block(seen, of.rule);
  for (int w = 0; w < n / 8; ++w) {
    const std::uint32_t word = codes_of<false>(x.data() + 8 * w, 8, byte, nan, of.rule);
    std::memcpy(of.codes + out * x.size() / 2 + static_cast<std::size_t>(w) * 4, &word, 4);
  }
  of.scales[out] = nan ? kE8m0Nan : static_cast<std::uint8_t>(byte);
}

}  // namespace

void launch_quantize_strided(const StridedLaunch& launch, int, cudaStream_t stream) {
  fake::launched(stream);
  const QuantizeLaunch& of = launch.of;
  const auto size = static_cast<std::size_t>(of.block_size);
  for (std::size_t line = 0; line < of.grid.rows; ++line) {
    for (std::size_t block = 0; block < of.grid.blocks; ++block) {
      std::vector<float> x(size);
      for (std::size_t i = 0; i < size && block * size + i < of.grid.columns; ++i) {
        const auto column = static_cast<std::int64_t>(block * size + i);
        const std::int64_t at = launch.lines.begin(line) + column * launch.lines.element_stride;
        const auto each = static_cast<std::int64_t>(bits_of(of.dtype) / 8);
        x[i] = load(static_cast<const std::byte*>(of.x) + at * each, 0, of.dtype);
      }
      quantize_block(of, x, line * of.grid.blocks + block,
                     (launch.first_line + line) * of.grid.columns + block * size);
    }
  }
}

void launch_quantize(const QuantizeLaunch& launch, int multiprocessors, cudaStream_t stream) {
  Lines rows;
  rows.count = launch.grid.rows;
  rows.outer_stride = static_cast<std::int64_t>(launch.grid.columns);
  launch_quantize_strided({launch, rows, 0}, multiprocessors, stream);
}

namespace {

template <class To>
void dequantize_as(const DequantizeLaunch& launch) {
  const auto size = static_cast<std::size_t>(launch.block_size);
  const NibbleOrder order = launch.split16 ? NibbleOrder::split16 : NibbleOrder::interleaved;
  auto* const out = static_cast<typename To::Raw*>(launch.out);
  for (std::size_t line = 0; line < launch.grid.rows; ++line) {
    for (std::size_t column = 0; column < launch.grid.columns; ++column) {
      const std::size_t block = line * launch.grid.blocks + column / size;
      const std::uint8_t code = nibble(launch.codes + block * size / 2, column % size, order);
      decode_word<To>(code, 1, launch.scales[block], out + line * launch.grid.columns + column);
    }
  }
}

}  // namespace

void launch_dequantize(const DequantizeLaunch& launch, int, cudaStream_t stream) {
  fake::launched(stream);
  if (launch.dtype == Dtype::f32) return dequantize_as<ToF32>(launch);
  if (launch.dtype == Dtype::bf16) return dequantize_as<ToBf16>(launch);
  dequantize_as<ToF16>(launch);
}

void launch_pack(const PackLaunch& launch, cudaStream_t stream) {
  fake::launched(stream);
  for (int row = 0; row < launch.tiles.groups * kTileRows; ++row) {
    const RowBytes bytes = row_bytes(launch.source, static_cast<std::size_t>(row));
    if (too_wide(bytes)) *launch.wide_row = std::max(*launch.wide_row, row);
    launch.exponents[row] = static_cast<std::int16_t>(row_exponent(bytes));
    launch.factors[row] = row_factor(bytes);
  }
  for (int group = 0; group < launch.tiles.groups; ++group) {
    for (int tile = 0; tile < launch.tiles.columns; ++tile) {
      std::uint8_t* const at = launch.out + launch.tiles.offset(group, tile);
      for (int i = 0; i < 4 * kTileThreads; ++i) {
        const std::uint32_t word = packed_word(launch.source, group, tile, i / 4, i % 4);
        std::memcpy(at + 4 * i, &word, 4);
      }
      for (int i = 0; i < 32; ++i) {
        const std::uint32_t word = packed_scales(launch.source, launch.exponents, group, tile, i / 8, i % 8);
        std::memcpy(at + scale_offset(i / 8, i % 8 * 4), &word, 4);
      }
    }
  }
}

void launch_terms(const TermsLaunch& launch, cudaStream_t stream) {
  fake::launched(stream);
  for (std::size_t row = 0; row < launch.rows; ++row) {
    for (std::size_t c = 0; c < launch.pitch; ++c) {
      const float x = c < launch.columns ? load(launch.x, row * launch.columns + c, launch.dtype) : 0.0f;
      std::uint16_t* const out = launch.out + row * static_cast<std::size_t>(launch.terms) * launch.pitch + c;
      out[0] = terms_of(x).hi;
      if (launch.terms == 2) out[launch.pitch] = terms_of(x).lo;
    }
  }
}

void launch_routing(const Routing& routing, cudaStream_t stream) {
  fake::launched(stream);
  for (int slot = 0; slot < routing.slots(); ++slot) routing.position_of[slot] = -1;
  int position = 0, tile = 0;
  for (int e = 0; e < routing.experts; ++e) {
    routing.first_position[e] = position;
    for (int slot = 0; slot < routing.slots(); ++slot) {
      if (routing.of(slot, e)) place_slot(routing, slot, position++);
    }
    const int count = position - routing.first_position[e];
    write_token_tiles(routing, e, routing.first_position[e], count, tile);
    tile += token_tiles_of(count, routing.tile_positions);
  }
  *routing.token_tile_count = tile;
}

void allow_shared_memory(const Traits&) {}

void launch_product(const ProductPlan& plan, const Product& product, cudaStream_t stream) {
  fake::launched(stream);
  static std::mt19937_64 random(1);
  emulate_product(plan, product, *product.token_tile_count, random);
}

void launch_plain(const ProductPlan&, const PlainLaunch& launch, cudaStream_t stream) {
  fake::launched(stream);
  const Product& p = launch.product;
  for (int t = 0; t < *p.token_tile_count; ++t) {
    const TokenTile tile = p.token_tiles[t];
    const PlainMatrix& matrix = launch.matrices[tile.matrix];
    if (matrix.empty()) continue;
    const auto sum_of_row = [&](std::size_t packed_row, std::size_t activation) {
      float sum = 0;
      for (int lane = 0; lane < 32; ++lane)
        sum += plain_sum(p, matrix.source, row_source(packed_row, matrix.source.order), activation, lane);
      return sum;
    };
    for (std::size_t row = 0; row < p.rows; ++row) {
      const std::size_t packed_row = packed_row_of(row, p.gated);
      for (int position = tile.first; position < tile.first + tile.count; ++position) {
        const auto activation = static_cast<std::size_t>(p.row_of == nullptr ? position : p.row_of[position]);
        const float sum = sum_of_row(packed_row, activation);
        if (p.gated) {
          store_gated(p, tile, sum, sum_of_row(packed_row + 8, activation), position, packed_row);
        } else {
          store_plain(p, tile, sum, position, packed_row);
        }
      }
    }
  }
}

void launch_combine(const CombineLaunch& launch, cudaStream_t stream) {
  fake::launched(stream);
  for (int token = 0; token < launch.tokens; ++token) {
    for (std::size_t column = 0; column < launch.columns; ++column) {
      float sum = 0;
      for (int slot = token * launch.top_k; slot < (token + 1) * launch.top_k; ++slot) {
        const int position = launch.position_of[slot];
        if (position < 0) continue;
        sum += (launch.weights == nullptr ? 1.0f : launch.weights[slot]) *
               launch.rows[static_cast<std::size_t>(position) * launch.columns + column];
      }
      const std::size_t at = static_cast<std::size_t>(token) * launch.columns + column;
      const std::uint16_t narrow = launch.dtype == Dtype::bf16 ? f32_to_bf16(sum) : f32_to_f16(sum);
      if (launch.dtype == Dtype::f32) {
        static_cast<float*>(launch.out)[at] = sum;
      } else {
        static_cast<std::uint16_t*>(launch.out)[at] = narrow;
      }
    }
  }
}

}  // namespace mxfp4::kernel::cuda
