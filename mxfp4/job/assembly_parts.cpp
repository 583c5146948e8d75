#include <algorithm>
#include <cstring>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/job/assembly_internal.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::job {
namespace {

// Elements of a unit, and how many units ahead the system is asked to read.
constexpr std::int64_t kUnitElements = 1 << 20;
constexpr std::size_t kUnitsAhead = 4;
constexpr std::int64_t kBlockBytes = kBlockSize / 2;

using Advice = void (MappedFile::*)(std::span<const std::byte>) const noexcept;

// Tells the system about the stored rows that rows [begin, end) come from, as one range per weight.
void advise(const Assembled& tensor, std::int64_t begin, std::int64_t end, const ModelFiles& files,
            Advice advice) {
  struct Range {
    const Weight* weight;
    std::int64_t first, last;
  };
  std::vector<Range> ranges;
  for (std::int64_t row = begin; row < end; ++row) {
    const Assembled::Row from = tensor.at(row);
    const std::int64_t stored = from.stored();
    const auto known = std::find_if(ranges.begin(), ranges.end(),
                                    [&](const Range& range) { return range.weight == from.piece->weight; });
    if (known == ranges.end()) {
      ranges.push_back({from.piece->weight, stored, stored});
    } else {
      known->first = std::min(known->first, stored);
      known->last = std::max(known->last, stored);
    }
  }
  for (const Range& range : ranges) {
    const StoredBlocks& blocks = range.weight->quantized;
    const std::int64_t first = range.first * blocks.blocks_per_row(),
                       count = (range.last + 1 - range.first) * blocks.blocks_per_row();
    const auto tell = [&](const StoredTensor& stored, const std::uint8_t* data, std::int64_t pitch) {
      const MappedFile* const map = map_of(files, stored);
      const std::span part(reinterpret_cast<const std::byte*>(data) + first * pitch,
                           static_cast<std::size_t>(count * pitch));
      if (map != nullptr) (map->*advice)(part);
    };
    tell(*range.weight->stored, blocks.codes, blocks.code_pitch);
    if (blocks.is_plain()) tell(*range.weight->scales, blocks.scales, 1);
  }
}

// What a tensor that is not MXFP4 is read in: its own dtype, or BF16 of another quantisation.
Dtype dtype_of(const Assembled& tensor) {
  return tensor.pieces[0]->weight->other != nullptr ? Dtype::bf16 : tensor.pieces[0]->dense.dtype;
}

// Bytes that its pieces have in their files.
std::uint64_t stored_bytes(const Assembled& tensor) {
  std::uint64_t bytes = 0;
  for (const Piece* const piece : tensor.pieces) {
    if (piece->weight->other == nullptr) {
      bytes += static_cast<std::uint64_t>(piece->dense.elements()) *
               static_cast<std::uint64_t>(bits_of(piece->dense.dtype)) / 8;
      continue;
    }
    for (const StoredTensor* const stored : piece->weight->other->stored) bytes += stored->bytes.size();
  }
  return bytes;
}

// Its rows in that dtype.
void copy_dense(const Assembled& tensor, std::int64_t begin, std::int64_t end, std::byte* out) {
  const std::int64_t columns = tensor.columns(), bytes = bits_of(dtype_of(tensor)) / 8;
  std::vector<float> floats;
  for (std::int64_t row = begin; row < end; ++row, out += columns * bytes) {
    const Assembled::Row from = tensor.at(row);
    const DenseView& view = from.piece->dense;
    if (const OtherCodes* const other = from.piece->weight->other.get()) {
      floats.resize(static_cast<std::size_t>(columns));
      other->read(from.row, from.row + 1, 0, columns, floats.data());
      write_f32(floats.data(), floats.size(), Dtype::bf16, out);
    } else if (view.rank() < 2) {
      const std::int64_t offset = view.rank() == 0 ? 0 : from.row * view.strides[0];
      std::memcpy(out, view.data + offset * bytes, static_cast<std::size_t>(bytes));
    } else {
      copy_rows(view, from.row, from.row + 1, out);
    }
  }
}

// Byte i holds elements 2i and 2i + 1; byte j of the result holds j and j + 16.
void split(const std::uint8_t* from, std::uint8_t* to) noexcept {
  for (int i = 0; i < kBlockBytes / 2; ++i) {
    const std::uint8_t low = from[i], high = from[i + kBlockBytes / 2];
    to[2 * i] = static_cast<std::uint8_t>((low & 0x0F) | (high << 4));
    to[2 * i + 1] = static_cast<std::uint8_t>((low >> 4) | (high & 0xF0));
  }
}

// F32 to a half that holds it exactly; the index of the first that does not, or count.
std::size_t narrow(const float* from, std::size_t count, Dtype dtype, std::byte* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t half = dtype == Dtype::bf16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
    const float back = dtype == Dtype::bf16 ? bf16_to_f32(half) : f16_to_f32(half);
    if (std::memcmp(&back, &from[i], sizeof back) != 0) return i;
    std::memcpy(out + i * sizeof half, &half, sizeof half);
  }
  return count;
}

}  // namespace

Mxfp4View rows_of(const Assembled& tensor, std::int64_t begin, std::int64_t end, std::byte* scratch) {
  const std::int64_t columns = tensor.columns(), blocks = columns / kBlockSize, count = end - begin;
  if (begin == end) return {nullptr, nullptr, {0, columns}};
  const Assembled::Row first = tensor.at(begin);
  const StoredBlocks& stored = first.piece->weight->quantized;
  bool in_place = stored.is_plain() && stored.order == NibbleOrder::interleaved;
  for (std::int64_t row = begin + 1; row < end && in_place; ++row) {
    const Assembled::Row next = tensor.at(row);
    in_place = next.piece->weight == first.piece->weight && next.stored() == first.stored() + (row - begin);
  }
  if (in_place) return stored.rows(first.stored(), count, 1, 0, columns, nullptr);
  auto* const codes = reinterpret_cast<std::uint8_t*>(scratch);
  std::uint8_t* const scales = codes + count * blocks * kBlockBytes;
  for (std::int64_t row = 0; row < count; ++row) {
    const Assembled::Row from = tensor.at(begin + row);
    copy_row(from.piece->weight->quantized, from.stored(), codes + row * blocks * kBlockBytes,
             scales + row * blocks);
  }
  return {codes, scales, {count, columns}};
}

RowUnits::RowUnits(const Assembled& tensor, std::int64_t step) : rows(tensor.rows()) {
  const std::int64_t steps = kUnitElements / step / std::max<std::int64_t>(tensor.columns(), 1);
  per_unit = step * std::max<std::int64_t>(steps, 1);
}

std::size_t RowUnits::count() const noexcept {
  return static_cast<std::size_t>((rows + per_unit - 1) / per_unit);
}

std::int64_t RowUnits::begin(std::size_t unit) const noexcept {
  return std::min(static_cast<std::int64_t>(unit) * per_unit, rows);
}

std::int64_t RowUnits::most() const noexcept {
  return std::min(per_unit, rows);
}

BlockRows::BlockRows(Assembled tensor, const ModelFiles& files, std::int64_t step)
    : tensor_(std::move(tensor)), files_(&files), units_(tensor_, step) {}

std::size_t BlockRows::scratch_bytes() const noexcept {
  return StoredBlocks::scratch_bytes(units_.most() * tensor_.columns());
}

std::uint64_t BlockRows::bytes() const noexcept {
  return StoredBlocks::scratch_bytes(tensor_.rows() * tensor_.columns());
}

Mxfp4View BlockRows::read(std::size_t unit, std::byte* scratch) const {
  const std::size_t ahead = unit + kUnitsAhead;
  advise(tensor_, units_.begin(ahead), units_.begin(ahead + 1), *files_, &MappedFile::will_need);
  return rows_of(tensor_, units_.begin(unit), units_.begin(unit + 1), scratch);
}

void BlockRows::release(std::size_t unit) const {
  advise(tensor_, units_.begin(unit), units_.begin(unit + 1), *files_, &MappedFile::done_with);
}

Part move_part(const Assembled& tensor, safetensors::TensorSpec codes, safetensors::TensorSpec scales,
               const ModelFiles& files) {
  const BlockRows source(tensor, files);
  Part part;
  part.outputs = {std::move(codes), std::move(scales)};
  part.units = source.units().count();
  part.unit_memory = source.scratch_bytes();
  part.input_bytes = source.bytes();
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const Mxfp4View rows = source.read(unit, scratch);
    const auto at = static_cast<std::uint64_t>(source.units().begin(unit) * source.blocks_per_row());
    const auto count = static_cast<std::size_t>(rows.shape[0] * source.blocks_per_row());
    write(0, at * kBlockBytes, {reinterpret_cast<const std::byte*>(rows.codes), count * kBlockBytes});
    write(1, at, {reinterpret_cast<const std::byte*>(rows.scales), count});
    source.release(unit);
  };
  return part;
}

Part ggml_part(std::string name, const Assembled& tensor, const ModelFiles& files) {
  const BlockRows source(tensor, files);
  const std::int64_t blocks = source.blocks_per_row();
  constexpr std::int64_t kGgmlBytes = kBlockBytes + 1;
  // scratch: rows as they are | as they are to be
  const std::size_t result_at = source.scratch_bytes();
  Shape shape = tensor.shape;
  shape.back() = blocks * kGgmlBytes;
  Part part;
  part.outputs = {{std::move(name), Dtype::u8, shape}};
  part.units = source.units().count();
  part.unit_memory = result_at + static_cast<std::size_t>(source.units().most() * blocks * kGgmlBytes);
  part.input_bytes = source.bytes();
  part.run = [=, &files](std::size_t unit, std::byte* scratch, const Write& write) {
    const std::int64_t begin = source.units().begin(unit);
    const Mxfp4View rows = source.read(unit, scratch);
    const std::int64_t count = rows.shape[0] * blocks;
    auto* const result = reinterpret_cast<std::uint8_t*>(scratch + result_at);
    for (std::int64_t block = 0; block < count; ++block) {
      if (rows.scales[block] == 255) {
        const Piece& piece = *source.tensor().at(begin + block / blocks).piece;
        fail(ErrorCode::unsupported,
             "{}: tensor '{}': a scale of {} is 255, which is NaN, and ggml refuses it",
             files.file_of(*piece.weight->stored), piece.weight->stored->name, piece.name);
      }
      result[block * kGgmlBytes] = rows.scales[block];
      split(rows.codes + block * kBlockBytes, result + block * kGgmlBytes + 1);
    }
    write(0, static_cast<std::uint64_t>(begin * blocks * kGgmlBytes),
          {scratch + result_at, static_cast<std::size_t>(count * kGgmlBytes)});
    source.release(unit);
  };
  return part;
}

Part join_part(std::string name, const Assembled& tensor, Dtype dtype, const ModelFiles& files) {
  const RowUnits units(tensor);
  const Dtype own = dtype_of(tensor);
  const std::int64_t columns = tensor.columns();
  const auto own_bytes = static_cast<std::size_t>(bits_of(own)) / 8,
             bytes = static_cast<std::size_t>(bits_of(dtype)) / 8;
  // scratch: rows as they are | as F32 | as they are to be
  const auto most = static_cast<std::size_t>(units.most() * columns);
  const std::size_t floats_at = (most * own_bytes + 63) / 64 * 64,
                    result_at = floats_at + most * sizeof(float);
  Part part;
  part.outputs = {{std::move(name), dtype, tensor.shape}};
  part.units = units.count();
  part.unit_memory = own == dtype ? most * own_bytes : result_at + most * bytes;
  part.input_bytes = stored_bytes(tensor);
  part.run = [=, &files](std::size_t unit, std::byte* scratch, const Write& write) {
    const std::int64_t begin = units.begin(unit), end = units.begin(unit + 1);
    const auto count = static_cast<std::size_t>((end - begin) * columns);
    copy_dense(tensor, begin, end, scratch);
    std::byte* result = scratch;
    if (own != dtype) {
      auto* const floats = reinterpret_cast<float*>(scratch + floats_at);
      result = dtype == Dtype::f32 ? scratch + floats_at : scratch + result_at;
      copy_rows_f32(dense_view(scratch, own, {1, static_cast<std::int64_t>(count)}), 0, 1, floats);
      const std::size_t bad = dtype == Dtype::f32 ? count : narrow(floats, count, dtype, result);
      if (bad < count) {
        const Piece& piece = *tensor.at(begin + static_cast<std::int64_t>(bad) / columns).piece;
        fail(ErrorCode::unsupported, "{}: tensor '{}': {} is {}, which {} does not hold exactly",
             files.file_of(*piece.weight->stored), piece.weight->stored->name, piece.name, floats[bad],
             to_string(dtype));
      }
    }
    write(0, static_cast<std::uint64_t>(begin * columns) * bytes, {result, count * bytes});
  };
  return part;
}

}  // namespace mxfp4::job
