#include <algorithm>
#include <mutex>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/convention_internal.h"
#include "mxfp4/checkpoint/other_codes.h"
#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/e4m3.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/job/convert_plan_internal.h"
#include "mxfp4/job/reencode_internal.h"

namespace mxfp4::job {
namespace {

using Json = nlohmann::ordered_json;

// A tile is 128 x 128 elements: 128 rows of 4 blocks. Its scale is the largest scale of its blocks that are
// not zero, over 2^6, but at least that of byte 0; so 6 becomes at most 384 of E4M3's 448. A block whose
// scale is 2^shift of the tile's holds every code from shift -8 on, where 0.5 is the smallest subnormal,
// 2^-9.
constexpr std::int64_t kTileBlocks = kFp8Tile / kBlockSize;
constexpr int kHeadroom = 6, kSafeShift = -8, kLeastShift = -12;

/// The byte of every code under every shift; -1 where E4M3 does not hold it. Below kLeastShift it is as
/// there: nothing but zeros is held.
class Table {
 public:
  Table() noexcept {
    for (int shift = kLeastShift; shift <= kHeadroom; ++shift) {
      for (std::uint8_t code = 0; code < 16; ++code)
        bytes_[shift - kLeastShift][code] = static_cast<std::int16_t>(e4m3_of_e2m1(code, shift));
    }
  }

  const std::int16_t* at(int shift) const noexcept {
    return bytes_[std::clamp(shift, kLeastShift, kHeadroom) - kLeastShift];
  }

 private:
  std::int16_t bytes_[kHeadroom - kLeastShift + 1][16];
};

const Table& table() noexcept {
  static const Table instance;
  return instance;
}

/// The scale bytes of a row of tiles, rows [begin, end) of these; 2^0 of a tile of zeros.
std::vector<std::uint8_t> tile_scales(const Mxfp4View& rows, std::int64_t begin, std::int64_t end) {
  const std::int64_t blocks = rows.shape.back() / kBlockSize;
  std::vector<int> largest(static_cast<std::size_t>((blocks + kTileBlocks - 1) / kTileBlocks), -1);
  for (std::int64_t at = begin * blocks; at < end * blocks; ++at) {
    int& so_far = largest[static_cast<std::size_t>(at % blocks / kTileBlocks)];
    const int scale = rows.scales[at];
    if (scale > so_far && scale != kE8m0Nan && !is_zero_block(rows.codes + at * kCodeBytes)) so_far = scale;
  }
  std::vector<std::uint8_t> scales(largest.size());
  std::transform(largest.begin(), largest.end(), scales.begin(), [](int byte) {
    return static_cast<std::uint8_t>(byte < 0 ? kE8m0Bias : std::max(byte - kHeadroom, 0));
  });
  return scales;
}

/// The first element of a block that its tile's scale does not let E4M3 hold; of a NaN block the first; -1.
int first_inexact(const std::uint8_t* codes, std::uint8_t scale, std::uint8_t tile) noexcept {
  if (scale == kE8m0Nan) return 0;
  if (scale - tile >= kSafeShift) return -1;
  const std::int16_t* const bytes = table().at(scale - tile);
  for (int k = 0; k < kBlockSize; ++k) {
    if (bytes[code_at(codes, k)] < 0) return k;
  }
  return -1;
}

/// Encodes rows [begin, end) of these, one row of tiles.
void encode(const Mxfp4View& rows, std::int64_t begin, std::int64_t end,
            const std::vector<std::uint8_t>& tiles, std::byte* out) {
  const std::int64_t blocks = rows.shape.back() / kBlockSize;
  for (std::int64_t at = begin * blocks; at < end * blocks; ++at) {
    const std::uint8_t tile = tiles[static_cast<std::size_t>(at % blocks / kTileBlocks)];
    const std::int16_t* const bytes = table().at(rows.scales[at] - tile);
    for (const std::uint8_t* pair = rows.codes + at * kCodeBytes; pair != rows.codes + (at + 1) * kCodeBytes;
         ++pair) {
      *out++ = static_cast<std::byte>(bytes[*pair & 15]);
      *out++ = static_cast<std::byte>(bytes[*pair >> 4]);
    }
  }
}

Part fp8_part(const BlockRows& source, const StoredNames& names, Dtype scale_dtype) {
  const Shape& shape = source.tensor().shape;
  const std::int64_t columns = shape[1], tiles = (columns + kFp8Tile - 1) / kFp8Tile;
  const std::size_t result_at = source.scratch_bytes();  // scratch: rows as they are | a row of tiles in FP8
  const std::int64_t tile_rows = std::min(kFp8Tile, source.units().most());
  Part part;
  part.outputs = {{names.codes, Dtype::f8_e4m3, shape},
                  {names.scales, scale_dtype, {(shape[0] + kFp8Tile - 1) / kFp8Tile, tiles}}};
  part.units = source.units().count();
  part.unit_memory = result_at + static_cast<std::size_t>(tile_rows * columns);
  part.input_bytes = source.bytes();
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const Mxfp4View rows = source.read(unit, scratch);
    for (std::int64_t begin = 0; begin < rows.shape[0]; begin += kFp8Tile) {
      const std::int64_t end = std::min(begin + kFp8Tile, rows.shape[0]),
                         row = source.units().begin(unit) + begin;
      const std::vector<std::uint8_t> scales = tile_scales(rows, begin, end);
      encode(rows, begin, end, scales, scratch + result_at);
      write(0, static_cast<std::uint64_t>(row * columns),
            {scratch + result_at, static_cast<std::size_t>((end - begin) * columns)});
      const auto at = static_cast<std::uint64_t>(row / kFp8Tile * tiles);
      if (scale_dtype == Dtype::f8_e8m0) {
        write(1, at, std::as_bytes(std::span(scales)));
      } else {
        std::vector<float> values;
        for (const std::uint8_t scale : scales) values.push_back(e8m0_value(scale));
        write(1, at * sizeof(float), std::as_bytes(std::span(values)));
      }
    }
    source.release(unit);
  };
  return part;
}

/// Looks at every block; reports those that FP8 does not hold.
void check(const std::vector<BlockRows>& weights, const Options& options, ConvertReport& report) {
  std::vector<InexactBlocks> inexact(weights.size());
  std::mutex mutex;
  const auto look = [&](std::size_t weight, std::int64_t first_row, const Mxfp4View& rows) {
    const std::int64_t blocks = rows.shape.back() / kBlockSize;
    for (std::int64_t begin = 0; begin < rows.shape[0]; begin += kFp8Tile) {
      const std::int64_t end = std::min(begin + kFp8Tile, rows.shape[0]);
      const std::vector<std::uint8_t> tiles = tile_scales(rows, begin, end);
      for (std::int64_t at = begin * blocks; at < end * blocks; ++at) {
        const std::uint8_t scale = rows.scales[at],
                           tile = tiles[static_cast<std::size_t>(at % blocks / kTileBlocks)];
        const std::uint8_t* const codes = rows.codes + at * kCodeBytes;
        const int k = first_inexact(codes, scale, tile);
        if (k < 0) continue;
        const std::lock_guard lock(mutex);
        note(inexact[weight], first_row + at / blocks, at % blocks, [&] {
          if (scale == kE8m0Nan) return std::string("its scale is NaN, byte 255");
          return fmt::format(
              "element {} is {} x 2^{}, the largest scale of its tile of 128 x 128 is 2^{}, and E4M3 has no "
              "{} x 2^{}",
              k, e2m1_value(code_at(codes, k)), scale - kE8m0Bias, tile - kE8m0Bias + kHeadroom,
              e2m1_value(code_at(codes, k)), scale - tile);
        });
      }
    }
  };
  look_at_rows(weights, options, look);
  report_inexact(std::move(inexact), weights, report);
}

std::map<std::string, std::string> texts(const ConfigRequest& request) {
  const Json config = {{"activation_scheme", "dynamic"},
                       {"fmt", "e4m3"},
                       {"modules_to_not_convert", request.left_alone},
                       {"quant_method", "fp8"},
                       {"weight_block_size", {kFp8Tile, kFp8Tile}}};
  return config_with(request, config.dump());
}

// Readers of DeepSeek-V4 know which of its layers are FP8.
std::map<std::string, std::string> deepseek_texts(const ConfigRequest& request) {
  const Json config = {{"activation_scheme", "dynamic"},
                       {"fmt", "e4m3"},
                       {"quant_method", "fp8"},
                       {"scale_fmt", "ue8m0"},
                       {"weight_block_size", {kFp8Tile, kFp8Tile}}};
  std::map<std::string, std::string> made = config_with(request, config.dump());
  for (auto& [name, text] : made) text = with_member(text, "expert_dtype", "\"fp8\"");
  return made;
}

Convention fp8_convention(bool deepseek) noexcept {
  return {deepseek ? "deepseek-v4" : "fp8",
          ".weight",
          deepseek ? ".scale" : ".weight_scale_inv",
          Dtype::f8_e4m3,
          deepseek ? Dtype::f8_e8m0 : Dtype::f32,
          CodeShape::elements,
          ExpertLayout::single,
          deepseek,
          "fp8",
          nullptr,
          deepseek ? deepseek_texts : texts,
          "FP8 in tiles"};
}

}  // namespace

void plan_fp8(const ConvertSource& source, ConvertPlan& plan) {
  const Convention format = fp8_convention(is_deepseek(source));
  std::vector<BlockRows> weights;
  plan_convention(source, format, plan, [&](const Assembled& weight, const StoredNames& names) {
    weights.emplace_back(weight, source.checkpoint.files, kFp8Tile);
    return fp8_part(weights.back(), names, format.scales_dtype);
  });
  check(weights, *plan.options, plan.report);
}

}  // namespace mxfp4::job
