// The packed tile is a bijection, and what it gives lanes is what mma takes.
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/codec/test_blocks.h"
#include "mxfp4/kernel/cuda/activations.h"
#include "mxfp4/kernel/cuda/fragment.h"
#include "mxfp4/kernel/cuda/pack_rows.h"

namespace mxfp4::kernel::cuda {
namespace {

TEST(CudaLayout, EveryCodeOfATileHasBitsOfItsOwn) {
  std::set<int> bits;
  for (int row = 0; row < kTileRows; ++row) {
    for (int column = 0; column < kTileColumns; ++column) {
      const CodePlace place = code_place(row, column);
      const RowColumn back = code_at(place);
      ASSERT_EQ(back.row, row);
      ASSERT_EQ(back.column, column);
      for (int b = 0; b < 4; ++b) {
        bits.insert((code_offset(place.thread) + 4 * place.word) * 8 + code_bit(place.reg, place.half, b));
      }
    }
  }
  EXPECT_EQ(bits.size(), std::size_t{kTileCodeBytes} * 8);
  EXPECT_EQ(*bits.rbegin(), kTileCodeBytes * 8 - 1);
}

TEST(CudaLayout, EveryFactorOfATileHasBitsOfItsOwn) {
  for (std::uint32_t a = 1; a < 255; ++a) {
    for (std::uint32_t b = 1; b < 255; ++b) {
      const std::uint32_t word = scale_word(a << 7 | b << 23, b << 7 | a << 23);
      ASSERT_EQ(first_factors(word), a << 7 | b << 23);
      ASSERT_EQ(second_factors(word), b << 7 | a << 23);
    }
  }
  std::set<int> words;
  for (int warp = 0; warp < 4; ++warp) {
    for (int lane = 0; lane < 32; ++lane) words.insert(scale_offset(warp, lane));
  }
  EXPECT_EQ(words.size() * 4, std::size_t{kTileScaleBytes});
  EXPECT_EQ(*words.rbegin(), kTileBytes - 4);
}

TEST(CudaLayout, CodeTimesFactorTimesRowFactorIsTheValueUnderEveryByte) {
  for (int most = 0; most < 255; ++most) {
    for (int byte = 0; byte <= most; ++byte) {
      RowBytes bytes;
      add_block(bytes, static_cast<std::uint8_t>(most), false);
      add_block(bytes, static_cast<std::uint8_t>(byte), false);
      ASSERT_EQ(too_wide(bytes), most > 128 && most - byte > 133);
      if (too_wide(bytes)) continue;
      const std::uint32_t field = scale_field(static_cast<std::uint8_t>(byte), false, row_exponent(bytes));
      ASSERT_TRUE(field >= 1 && field <= 254) << most << " " << byte;
      for (std::uint32_t code = 0; code < 16; ++code) {
        const auto raw = static_cast<std::uint16_t>(unpacked(placed_code(0, 0, code)).r[0]);
        const float product = bf16_to_f32(raw) * bf16_to_f32(static_cast<std::uint16_t>(field << 7));
        ASSERT_EQ(bf16_to_f32(f32_to_bf16(product)), product);
        const double value = static_cast<double>(product) * static_cast<double>(row_factor(bytes));
        ASSERT_EQ(value, static_cast<double>(e2m1_value(static_cast<std::uint8_t>(code))) *
                             power_of_two(byte - 127));
      }
    }
  }
}

TEST(CudaLayout, EveryPackedRowHasASourceOfItsOwn) {
  for (const RowOrder order : {RowOrder::plain, RowOrder::alternate, RowOrder::separate}) {
    for (std::size_t units = 1; units < 200; ++units) {
      PackSource source;
      source.order = order;
      source.units = units;
      source.blocks = 1;
      std::set<std::pair<int, std::size_t>> sources;
      for (std::size_t p = 0; p < packed_rows(units, order); ++p) {
        const RowSource row = row_source(p, order);
        if (source.has(row, 0)) sources.insert({row.matrix, row.row});
      }
      ASSERT_EQ(sources.size(), order == RowOrder::plain ? units : 2 * units);
    }
  }
}

TEST(CudaLayout, GateAndUpAreAccumulatorsOfOneLane) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 2; ++i) {
      const RowColumn gate = accumulator_place(lane, i), up = accumulator_place(lane, i + 2);
      EXPECT_EQ(gate.column, up.column);
      EXPECT_EQ(unit_of(static_cast<std::size_t>(gate.row)), unit_of(static_cast<std::size_t>(up.row)));
      EXPECT_FALSE(is_up(static_cast<std::size_t>(gate.row)));
      EXPECT_TRUE(is_up(static_cast<std::size_t>(up.row)));
    }
  }
}

TEST(CudaLayout, EightRowsOfAChunkFallIntoDifferentBanks) {
  std::set<int> all;
  for (int n = 0; n < 16; ++n) {
    for (int p = 0; p < 2; ++p) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        std::set<int> banks;
        for (int lane = 8 * matrix; lane < 8 * matrix + 8; ++lane) {
          const int offset = ldmatrix_offset(lane, n, p);
          banks.insert(offset % 128 / 16);
          all.insert(offset);
        }
        ASSERT_EQ(banks.size(), 8u);
      }
    }
  }
  EXPECT_EQ(all.size(), 128u * 8u);
  EXPECT_EQ(*all.rbegin(), 128 * kStageRowBytes - 16);
}

TEST(CudaActivations, TwoTermsHoldSixteenBits) {
  test::Random random(4);
  for (std::uint32_t half = 0; half < 0x7C00; ++half) {
    const float x = f16_to_f32(static_cast<std::uint16_t>(half));
    const Terms terms = terms_of(x);
    ASSERT_EQ(bf16_to_f32(terms.hi) + bf16_to_f32(terms.lo), x);
  }
  for (int i = 0; i < 100000; ++i) {
    const float x = bit_cast<float>(static_cast<std::uint32_t>(random()));
    const Terms terms = terms_of(x);
    if (!is_finite(x)) {
      ASSERT_EQ(terms.lo, 0);
      ASSERT_EQ(is_nan(bf16_to_f32(terms.hi)), is_nan(x));
      continue;
    }
    const double error = static_cast<double>(x) - static_cast<double>(bf16_to_f32(terms.hi)) -
                         static_cast<double>(bf16_to_f32(terms.lo));
    ASSERT_LE(std::abs(error), std::abs(static_cast<double>(x)) * 0x1p-16 + 0x1p-133) << x;
  }
}

}  // namespace
}  // namespace mxfp4::kernel::cuda
