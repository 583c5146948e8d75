// Whole products, packed and multiplied as a device does it, against sums of the weights' values in double.
#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/codec/block.h"
#include "mxfp4/codec/test_blocks.h"
#include "mxfp4/kernel/cuda/test_emulator.h"

namespace mxfp4::kernel::cuda {
namespace {

using test::Random;

const Traits kDevice = {"sm_80", 8, 0, 108, 163 * 1024};

/// Matrices [rows, 32 * blocks] as a file has them.
struct Matrix {
  std::size_t rows, blocks;
  NibbleOrder order;
  std::vector<std::uint8_t> codes, scales;

  Matrix(std::size_t r, std::size_t b, Random& random)
      : rows(r),
        blocks(b),
        order(random() % 2 ? NibbleOrder::interleaved : NibbleOrder::split16),
        codes(r * b * 16),
        scales(r * b) {
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(test::integer(random, 118, 132));
  }
  double value(std::size_t row, std::size_t column) const {
    const std::size_t block = row * blocks + column / 32;
    return static_cast<double>(decode(nibble(codes.data() + block * 16, column % 32, order), scales[block]));
  }
};

/// What a device makes of matrices.
struct Packed {
  TileGrid tiles;
  std::size_t rows;  ///< packed rows of a matrix
  std::vector<std::uint8_t> bytes;
  std::vector<float> factors;

  Packed(const std::vector<PackSource>& sources) {
    const PackSource& first = sources[0];
    tiles = tile_grid(packed_rows(first.units, first.order), first.blocks * 32);
    rows = static_cast<std::size_t>(tiles.groups) * kTileRows;
    bytes.resize(sources.size() * tiles.bytes());
    for (std::size_t m = 0; m < sources.size(); ++m) pack(sources[m], bytes.data() + m * tiles.bytes());
  }

 private:
  void pack(const PackSource& source, std::uint8_t* out) {
    std::vector<std::int16_t> exponents;
    for (std::size_t p = 0; p < rows; ++p) {
      const RowBytes seen = row_bytes(source, p);
      ASSERT_FALSE(too_wide(seen));
      exponents.push_back(static_cast<std::int16_t>(row_exponent(seen)));
      factors.push_back(row_factor(seen));
    }
    for (int group = 0; group < tiles.groups; ++group) {
      for (int tile = 0; tile < tiles.columns; ++tile) {
        std::uint8_t* const at = out + tiles.offset(group, tile);
        for (int thread = 0; thread < kTileThreads; ++thread) {
          for (int word = 0; word < 4; ++word) {
            const std::uint32_t packed = packed_word(source, group, tile, thread, word);
            std::memcpy(at + code_offset(thread) + 4 * word, &packed, 4);
          }
        }
        for (int warp = 0; warp < 4; ++warp) {
          for (int g = 0; g < 8; ++g) {
            const std::uint32_t packed = packed_scales(source, exponents.data(), group, tile, warp, g);
            std::memcpy(at + scale_offset(warp, 4 * g), &packed, 4);
          }
        }
      }
    }
  }
};

PackSource source_of(const Matrix& first, const Matrix* second, RowOrder order) {
  PackSource source;
  source.order = order;
  source.blocks = first.blocks;
  source.units = order == RowOrder::alternate ? first.rows / 2 : first.rows;
  const Matrix* const all[] = {&first, second};
  for (int i = 0; i < 2 && all[i] != nullptr; ++i) {
    source.codes[i] = all[i]->codes.data();
    source.scales[i] = all[i]->scales.data();
    source.nibbles[i] = all[i]->order;
  }
  return source;
}

/// Everything of one launch on the host.
struct Launch {
  Product p = {};
  ProductPlan plan;
  std::vector<std::uint16_t> x, hidden;
  std::vector<float> partials, out;
  std::vector<unsigned> counters;
  std::vector<TokenTile> token_tiles;

  Launch(const Packed& packed, const ProductShape& shape, const std::vector<float>& activations,
         std::size_t columns, const std::vector<std::size_t>& counts, std::size_t rows,
         std::string_view forced = {}) {
    plan = plan_product(shape, kDevice, forced);
    const std::size_t pitch = static_cast<std::size_t>(packed.tiles.columns) * kTileColumns;
    const auto terms = static_cast<std::size_t>(shape.terms);
    x.resize(activations.size() / columns * terms * pitch);
    for (std::size_t i = 0; i < activations.size(); ++i) {
      const Terms of = terms_of(activations[i]);
      const std::size_t at = i / columns * terms * pitch + i % columns;
      x[at] = of.hi;
      if (terms == 2) x[at + pitch] = of.lo;
    }
    int position = 0;
    for (std::size_t m = 0; m < counts.size(); ++m) {
      for (std::size_t done = 0; done < counts[m]; done += static_cast<std::size_t>(plan.positions)) {
        const int count = std::min(static_cast<int>(counts[m] - done), plan.positions);
        token_tiles.push_back({static_cast<int>(m), position, count});
        position += count;
      }
    }
    EXPECT_LE(token_tiles.size(), plan.token_tiles);
    partials.assign(plan.partial_bytes() / 4, std::nanf(""));
    counters.resize(plan.counter_bytes() / 4);
    out.assign(static_cast<std::size_t>(position) * rows, std::nanf(""));
    p.weights = packed.bytes.data();
    p.tiles = packed.tiles;
    p.row_factors = packed.factors.data();
    p.packed_rows = packed.rows;
    p.x = x.data();
    p.terms = shape.terms;
    p.token_tiles = token_tiles.data();
    p.rows = rows;
    p.out = out.data();
    p.out_bytes = 4;
    p.chunk_tiles = plan.chunk_tiles;
    p.chunks = plan.chunks;
    p.partials = partials.data();
    p.counters = counters.data();
  }
  void run(Random& random) {
    emulate_product(plan, p, static_cast<int>(token_tiles.size()), random);
    for (const unsigned counter : counters) ASSERT_EQ(counter, 0u);
  }
};

std::vector<float> some_activations(std::size_t count, int terms, Random& random) {
  std::vector<float> x;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(std::normal_distribution<double>()(random));
    x.push_back(terms == 2 ? value : bf16_to_f32(f32_to_bf16(value)));
  }
  return x;
}

void expect_near(double result, double expected, double magnitude, double bound) {
  ASSERT_LE(std::abs(result - expected), magnitude * bound) << result << " for " << expected;
}

void linear_product(std::size_t rows, std::size_t blocks, std::size_t tokens, int terms, Random& random,
                    std::string_view forced = {}) {
  const Matrix matrix(rows, blocks, random);
  const Packed packed({source_of(matrix, nullptr, RowOrder::plain)});
  const std::size_t columns = blocks * 32;
  const std::vector<float> x = some_activations(tokens * columns, terms, random);
  std::vector<float> bias(packed.rows);
  for (float& b : bias) b = static_cast<float>(test::uniform(random, -1, 1));
  Launch launch(packed, {packed.tiles, 1, tokens, tokens, terms}, x, columns, {tokens}, rows, forced);
  launch.p.bias = bias.data();
  launch.run(random);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t r = 0; r < rows; ++r) {
      double expected = static_cast<double>(bias[r]), magnitude = std::abs(expected);
      for (std::size_t c = 0; c < columns; ++c) {
        const double term = matrix.value(r, c) * static_cast<double>(x[t * columns + c]);
        expected += term;
        magnitude += std::abs(term);
      }
      expect_near(static_cast<double>(launch.out[t * rows + r]), expected, magnitude,
                  terms == 2 ? 0x1p-17 : 0x1p-20);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(CudaProduct, LinearLayersOfEveryKernelAreTheSumsOfTheirTerms) {
  Random random(1);
  for (const int terms : {1, 2}) {
    for (const std::size_t tokens : {1, 7, 16, 17, 40}) linear_product(100, 3, tokens, terms, random);
    linear_product(130, 5, 70, terms, random, "prefill128");
    linear_product(64, 2, 3, terms, random, "decode32");
  }
}

TEST(CudaProduct, WeightsCutAlongTheirColumnsGiveTheSameBitsInAnyOrder) {
  Random random(2);
  const Matrix matrix(70, 45, random);
  const Packed packed({source_of(matrix, nullptr, RowOrder::plain)});
  const std::vector<float> x = some_activations(3 * 45 * 32, 1, random);
  std::vector<float> first;
  for (int run = 0; run < 4; ++run) {
    Launch launch(packed, {packed.tiles, 1, 3, 3, 1}, x, 45 * 32, {3}, 70, run == 3 ? "decode16" : "");
    ASSERT_EQ(launch.plan.chunks, 2);
    launch.run(random);
    if (run == 0) first = launch.out;
    ASSERT_EQ(std::memcmp(first.data(), launch.out.data(), first.size() * 4), 0);
  }
  linear_product(70, 45, 5, 2, random);
}

TEST(CudaProduct, EveryKernelGivesATokenTheSameBits) {
  Random random(5);
  const Matrix matrix(70, 45, random);
  const Packed packed({source_of(matrix, nullptr, RowOrder::plain)});
  for (const int terms : {1, 2}) {
    const std::vector<float> x = some_activations(20 * 45 * 32, terms, random);
    Launch many(packed, {packed.tiles, 1, 20, 20, terms}, x, 45 * 32, {20}, 70, "prefill128");
    many.run(random);
    const std::vector<float> few_x(x.begin() + 7 * 45 * 32, x.begin() + 9 * 45 * 32);
    Launch few(packed, {packed.tiles, 1, 2, 2, terms}, few_x, 45 * 32, {2}, 70);
    ASSERT_EQ(few.plan.chunks, 2);
    few.run(random);
    ASSERT_EQ(std::memcmp(few.out.data(), many.out.data() + 7 * 70, 2 * 70 * 4), 0);
  }
}

TEST(CudaProduct, ARowWithANanScaleIsNanAndNoOther) {
  Random random(3);
  Matrix matrix(20, 2, random);
  matrix.scales[7 * 2 + 1] = kE8m0Nan;
  for (int i = 0; i < 2; ++i) matrix.scales[9 * 2 + i] = 0;
  const Packed packed({source_of(matrix, nullptr, RowOrder::plain)});
  Launch launch(packed, {packed.tiles, 1, 1, 1, 1}, std::vector<float>(64, 1.0f), 64, {1}, 20);
  launch.run(random);
  for (std::size_t r = 0; r < 20; ++r) EXPECT_EQ(std::isnan(launch.out[r]), r == 7) << r;
  EXPECT_NE(launch.out[9], 0.0f);
}

TEST(CudaProduct, ExpertsTakeTheirTokensThroughTheGatedUnit) {
  Random random(4);
  for (const RowOrder order : {RowOrder::alternate, RowOrder::separate}) {
    for (const int terms : {1, 2}) {
      const std::size_t units = 41, blocks = 3, columns = blocks * 32, experts = 3;
      const std::vector<std::size_t> counts = {9, 0, 4};
      std::vector<Matrix> first, second;
      std::vector<PackSource> sources;
      for (std::size_t e = 0; e < experts; ++e) {
        first.emplace_back(order == RowOrder::alternate ? 2 * units : units, blocks, random);
        second.emplace_back(units, blocks, random);
      }
      for (std::size_t e = 0; e < experts; ++e) sources.push_back(source_of(first[e], &second[e], order));
      const Packed packed(sources);
      const std::vector<float> x = some_activations(7 * columns, terms, random);
      std::vector<std::int32_t> row_of;
      std::vector<float> weights;
      for (int i = 0; i < 13; ++i) {
        row_of.push_back(static_cast<std::int32_t>(random() % 7));
        weights.push_back(static_cast<float>(test::uniform(random, 0, 1)));
      }
      const std::vector<Unit> gates = {{1.702f, 1, 7}, {1, 0, 1e30f}, {1, 0, 5}};
      Launch launch(packed, {packed.tiles, experts, 7, 13, terms}, x, columns, counts, units);
      const std::size_t pitch = 64;
      launch.hidden.resize(13 * static_cast<std::size_t>(terms) * pitch);
      launch.p.gated = true;
      launch.p.units = gates.data();
      launch.p.hidden = launch.hidden.data();
      launch.p.hidden_pitch = pitch;
      launch.p.row_of = row_of.data();
      launch.p.input_weights = weights.data();
      launch.run(random);
      for (std::size_t position = 0; position < 13; ++position) {
        const std::size_t e = position < 9 ? 0 : 2;
        for (std::size_t u = 0; u < units; ++u) {
          double sums[2] = {0, 0}, magnitudes[2] = {0, 0};
          for (std::size_t c = 0; c < columns; ++c) {
            const double value =
                static_cast<double>(x[static_cast<std::size_t>(row_of[position]) * columns + c]) *
                static_cast<double>(weights[position]);
            const bool alternate = order == RowOrder::alternate;
            const double parts[] = {
                value * (alternate ? first[e].value(2 * u, c) : first[e].value(u, c)),
                value * (alternate ? first[e].value(2 * u + 1, c) : second[e].value(u, c))};
            for (int i = 0; i < 2; ++i) {
              sums[i] += parts[i];
              magnitudes[i] += std::abs(parts[i]);
            }
          }
          const double limit = static_cast<double>(gates[e].limit);
          const double gate = std::min(sums[0], limit), up = std::clamp(sums[1], -limit, limit);
          const double swish = gate / (1 + std::exp(-static_cast<double>(gates[e].alpha) * gate));
          const double shifted = up + static_cast<double>(gates[e].beta), expected = swish * shifted;
          // The slope of swish is at most 1.1.
          const double of_sums = 1.1 * magnitudes[0] * std::abs(shifted) + magnitudes[1] * std::abs(swish);
          const std::uint16_t* const row =
              launch.hidden.data() + position * static_cast<std::size_t>(terms) * pitch;
          double result = static_cast<double>(bf16_to_f32(row[u]));
          if (terms == 2) result += static_cast<double>(bf16_to_f32(row[pitch + u]));
          expect_near(result, expected,
                      of_sums * 0x1p-16 + std::abs(expected) * (terms == 2 ? 0x1p-15 : 0x1p-8), 1);
          if (HasFailure()) return;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mxfp4::kernel::cuda
