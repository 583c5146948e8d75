// A thread block of the product kernels on the host: registers of its lanes side by side, instructions as the
// PTX manual defines them. The functions that say what lies where are those of the device.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "mxfp4/kernel/cuda/epilogue.h"
#include "mxfp4/kernel/cuda/plan.h"

namespace mxfp4::kernel::cuda {

/// mul.bf16x2: both halves, rounded once.
struct EmulatedTimes {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b) const {
    std::uint32_t result = 0;
    for (int half = 0; half < 32; half += 16) {
      const float x = bf16_to_f32(static_cast<std::uint16_t>(a >> half));
      const float y = bf16_to_f32(static_cast<std::uint16_t>(b >> half));
      result |= static_cast<std::uint32_t>(f32_to_bf16(x * y)) << half;
    }
    return result;
  }
};

inline float half_of(std::uint32_t reg, int half) {
  return bf16_to_f32(static_cast<std::uint16_t>(reg >> (16 * half)));
}

/// mma.m16n8k16: A[row, k] of lane 4 * (row % 8) + k % 8 / 2, register row / 8 + 2 * (k / 8); B[k, n] of lane
/// 4 * n + k % 8 / 2, register k / 8; D[row, n] of lane 4 * (row % 8) + n / 2, register 2 * (row / 8) + n
/// % 2.
inline void emulate_mma(float (*d)[4], const Registers* a, const std::uint32_t* b0, const std::uint32_t* b1) {
  for (int row = 0; row < 16; ++row) {
    for (int n = 0; n < 8; ++n) {
      float sum = d[row % 8 * 4 + n / 2][row / 8 * 2 + n % 2];
      for (int k = 0; k < 16; ++k) {
        const float weight = half_of(a[row % 8 * 4 + k % 8 / 2].r[row / 8 + k / 8 * 2], k % 2);
        const int lane = n * 4 + k % 8 / 2;
        sum += weight * half_of(k < 8 ? b0[lane] : b1[lane], k % 2);
      }
      d[row % 8 * 4 + n / 2][row / 8 * 2 + n % 2] = sum;
    }
  }
}

/// ldmatrix.x4: register m of lane l has 4 bytes from l % 4 * 4 on of the row whose address lane 8 * m + l /
/// 4 gives.
inline void emulate_ldmatrix(const std::uint8_t* memory, const int* addresses, Registers* out) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int m = 0; m < 4; ++m) {
      std::memcpy(&out[lane].r[m], memory + addresses[8 * m + lane / 4] + lane % 4 * 4, 4);
    }
  }
}

template <int kGroups, int kTiles>
class EmulatedBlock {
 public:
  static constexpr int kThreads = kGroups * kTileThreads;
  static constexpr Stage kStage = {kGroups, kTiles};

  EmulatedBlock(const Product& p, const TokenTile& tile, int block_x)
      : p_(p),
        tile_(tile),
        unit_(product_unit(block_x, p.chunk_tiles, p.chunks, p.tiles.columns)),
        sums_(kThreads) {
    for (int c = 0; c < 8 * kTiles; ++c) rows_.push_back(activation_row(tile, c, p.terms, p.row_of));
    std::vector<std::uint8_t> memory(static_cast<std::size_t>(kStage.bytes()));
    for (int t = unit_.first_tile; t < unit_.last_tile; ++t) {
      std::fill(memory.begin(), memory.end(), std::uint8_t{0xFF});  // whatever is not copied is NaN
      for (int c = 0; c < kStage.chunks(); ++c) {
        const StageCopy copy = stage_copy(p, kStage, tile, unit_.row_block, rows_.data(), t, c);
        if (copy.present) {
          std::memcpy(memory.data() + copy.to, copy.from, 16);
        } else {
          std::memset(memory.data() + copy.to, 0, 16);
        }
      }
      for (int warp = 0; warp < kThreads / 32; ++warp) multiply(memory.data(), warp);
      if (p.chunks == 1 && chunk_ends(p, t)) end_chunk(t < p.chunk_tiles);
    }
  }

  /// What reduce() of the kernel writes before the counter, and reads after the last.
  void write_partials(std::size_t place) const {
    each_sum(place, [&](float* at, float sum) { *at = sum; });
  }
  void read_partials(std::size_t place) {
    for (int thread = 0; thread < kThreads; ++thread) {
      for (int i = 0; i < 4 * kTiles; ++i) {
        float sum = p_.partials[partial_at(p_, place, 0, i, 4 * kTiles, kThreads, thread)];
        for (int chunk = 1; chunk < p_.chunks; ++chunk) {
          sum += p_.partials[partial_at(p_, place, chunk, i, 4 * kTiles, kThreads, thread)];
        }
        sums_[static_cast<std::size_t>(thread)].v[i / 4][i % 4] = sum;
      }
    }
  }
  void store_outputs() const {
    for (int thread = 0; thread < kThreads; ++thread) {
      const int group = unit_.row_block * kGroups + thread / kTileThreads;
      store(p_, tile_, static_cast<std::size_t>(group * kTileRows + thread / 32 % 4 * 16), thread % 32,
            (p_.chunks == 1 ? totals_ : sums_)[static_cast<std::size_t>(thread)].v);
    }
  }
  void end_chunk(bool first) {
    if (first) totals_.resize(sums_.size());
    for (std::size_t thread = 0; thread < sums_.size(); ++thread) {
      for (int i = 0; i < 4 * kTiles; ++i) {
        float& total = totals_[thread].v[i / 4][i % 4];
        total = first ? sums_[thread].v[i / 4][i % 4] : total + sums_[thread].v[i / 4][i % 4];
      }
      sums_[thread] = {};
    }
  }
  int row_block() const { return unit_.row_block; }

 private:
  struct Sums {
    float v[kTiles][4] = {};
  };

  template <class Body>
  void each_sum(std::size_t place, const Body& body) const {
    for (int thread = 0; thread < kThreads; ++thread) {
      for (int i = 0; i < 4 * kTiles; ++i) {
        body(p_.partials + partial_at(p_, place, unit_.chunk, i, 4 * kTiles, kThreads, thread),
             sums_[static_cast<std::size_t>(thread)].v[i / 4][i % 4]);
      }
    }
  }

  void multiply(const std::uint8_t* stage, int warp) {
    Registers a[4][32];
    const std::uint8_t* const weights = stage + warp / 4 * kTileBytes;
    for (int lane = 0; lane < 32; ++lane) {
      std::uint32_t words[4], scales = 0;
      std::memcpy(words, weights + code_offset(warp % 4 * 32 + lane), 16);
      std::memcpy(&scales, weights + scale_offset(warp % 4, lane), 4);
      for (int step = 0; step < 4; ++step)
        a[step][lane] = weights_of_step(words[step], scales, step, EmulatedTimes{});
    }
    for (int n = 0; n < kTiles; ++n) {
      for (int half = 0; half < 2; ++half) {
        int addresses[32];
        for (int lane = 0; lane < 32; ++lane)
          addresses[lane] = kStage.weights() + ldmatrix_offset(lane, n, half);
        Registers b[32];
        emulate_ldmatrix(stage, addresses, b);
        float d[32][4];
        for (int lane = 0; lane < 32; ++lane) std::memcpy(d[lane], sums_at(warp, lane, n), sizeof d[lane]);
        for (int step = 0; step < 2; ++step) {
          std::uint32_t b0[32], b1[32];
          for (int lane = 0; lane < 32; ++lane) {
            b0[lane] = b[lane].r[2 * step];
            b1[lane] = b[lane].r[2 * step + 1];
          }
          emulate_mma(d, a[2 * half + step], b0, b1);
        }
        for (int lane = 0; lane < 32; ++lane) std::memcpy(sums_at(warp, lane, n), d[lane], sizeof d[lane]);
      }
    }
  }
  float* sums_at(int warp, int lane, int n) { return sums_[static_cast<std::size_t>(warp * 32 + lane)].v[n]; }

  const Product& p_;
  const TokenTile tile_;
  const ProductUnit unit_;
  std::vector<int> rows_;
  std::vector<Sums> sums_, totals_;
};

/// All thread blocks of a launch, in any order: who comes last to a counter finishes.
template <int kGroups, int kTiles>
void emulate_product(const ProductPlan& plan, const Product& p, int token_tiles, std::mt19937_64& random) {
  std::vector<std::pair<int, int>> blocks;
  for (int y = 0; y < token_tiles; ++y) {
    for (int x = 0; x < static_cast<int>(plan.grid_x()); ++x) blocks.push_back({x, y});
  }
  std::shuffle(blocks.begin(), blocks.end(), random);
  for (const auto& [x, y] : blocks) {
    EmulatedBlock<kGroups, kTiles> block(p, p.token_tiles[y], x);
    if (plan.chunks > 1) {
      const std::size_t place = static_cast<std::size_t>(y * plan.row_blocks + block.row_block());
      block.write_partials(place);
      unsigned& counter = p.counters[place];
      const bool last = counter == static_cast<unsigned>(p.chunks - 1);
      counter = last ? 0 : counter + 1;
      if (!last) continue;
      block.read_partials(place);
    }
    block.store_outputs();
  }
}

inline void emulate_product(const ProductPlan& plan, const Product& p, int token_tiles,
                            std::mt19937_64& random) {
  switch (plan.kernel.kernel) {
#define MXFP4_CUDA_PRODUCT(name, groups, n_tiles, stages, split) \
  case ProductKernel::name:                                      \
    return emulate_product<groups, n_tiles>(plan, p, token_tiles, random);
#include "mxfp4/kernel/cuda/products.inc"
#undef MXFP4_CUDA_PRODUCT
  }
}

}  // namespace mxfp4::kernel::cuda
