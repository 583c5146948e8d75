#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/job/convert_plan_internal.h"
#include "mxfp4/job/pass_internal.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

constexpr std::int64_t kUnitElements = 1 << 20;

/// Rows of a piece of IN, and the piece of OUT that must be the same.
struct Unit {
  const Piece *in, *out;
  std::int64_t begin, end;
};

std::int64_t columns_of(const Piece& piece) {
  return piece.shape.empty() ? 1 : piece.shape.back();
}

std::int64_t rows_of(const Piece& piece) {
  return columns_of(piece) == 0 ? 0 : element_count(piece.shape) / columns_of(piece);
}

/// Compares units; throws at the first difference.
class Comparer {
 public:
  Comparer(const Checkpoint& in, const Checkpoint& out) : in_(in.files), out_(out.files) {}

  void compare(const Unit& unit) const {
    const bool reencoded = unit.out->weight->other != nullptr;
    if (unit.in->is_quantized()) return reencoded ? compare_reencoded(unit) : compare_blocks(unit);
    if (unit.in->weight->other != nullptr) return reencoded ? compare_kept(unit) : compare_expanded(unit);
    if (unit.in->dense.data == nullptr || unit.out->dense.data == nullptr) return compare_stored(unit);
    compare_numbers(unit);
  }

 private:
  [[noreturn]] void differ(const Unit& unit, std::int64_t row, const std::string& what,
                           const StoredTensor* tensor = nullptr) const {
    if (tensor == nullptr) tensor = unit.out->weight->stored;
    fail(ErrorCode::io, "{}: tensor '{}' was written wrong: row {} of '{}' has other {} than in {}",
         out_.file_of(*tensor), tensor->name, row, unit.in->name, what,
         in_.file_of(*unit.in->weight->stored));
  }

  void compare_blocks(const Unit& unit) const {
    const StoredBlocks &a = unit.in->weight->quantized, &b = unit.out->weight->quantized;
    const std::int64_t columns = a.columns();
    const auto blocks = static_cast<std::size_t>(columns / kBlockSize);
    std::vector<std::uint8_t> scratch(StoredBlocks::scratch_bytes(2 * columns));
    const auto row_of = [&](const StoredBlocks& blocks_of, std::int64_t row, std::uint8_t* to) -> Mxfp4View {
      if (blocks_of.is_plain() && blocks_of.order == NibbleOrder::interleaved)
        return blocks_of.rows(row, 1, 1, 0, columns, nullptr);
      copy_row(blocks_of, row, to, to + blocks * kBlockSize / 2);
      return {to, to + blocks * kBlockSize / 2, {1, columns}};
    };
    for (std::int64_t row = unit.begin; row < unit.end; ++row) {
      const Mxfp4View x = row_of(a, unit.in->first_row + row * unit.in->row_step, scratch.data());
      const Mxfp4View y =
          row_of(b, unit.out->first_row + row * unit.out->row_step, scratch.data() + scratch.size() / 2);
      if (std::memcmp(x.codes, y.codes, blocks * kBlockSize / 2) != 0) differ(unit, row, "codes");
      if (std::memcmp(x.scales, y.scales, blocks) != 0) differ(unit, row, "scales", unit.out->weight->scales);
    }
    give_back(in_, *unit.in, unit);
    give_back(out_, *unit.out, unit);
  }

  static void give_back(const ModelFiles& files, const Piece& piece, const Unit& unit) {
    const StoredBlocks& blocks = piece.weight->quantized;
    const std::int64_t row_bytes = blocks.blocks_per_row() * blocks.code_pitch,
                       first = piece.first_row + unit.begin * piece.row_step,
                       last = piece.first_row + (unit.end - 1) * piece.row_step;
    if (const MappedFile* const map = map_of(files, *piece.weight->stored)) {
      map->done_with({reinterpret_cast<const std::byte*>(blocks.codes) + first * row_bytes,
                      static_cast<std::size_t>((last + 1 - first) * row_bytes)});
    }
  }

  // MXFP4 and what was made of it, as doubles, which hold both, with the signs of zeros.
  void compare_reencoded(const Unit& unit) const {
    const StoredBlocks& blocks = unit.in->weight->quantized;
    const std::int64_t columns = blocks.columns();
    std::vector<std::uint8_t> scratch(StoredBlocks::scratch_bytes(columns));
    std::uint8_t *const codes = scratch.data(), *const scales = codes + columns / 2;
    std::vector<double> x(static_cast<std::size_t>(columns)), y(x.size());
    for (std::int64_t row = unit.begin; row < unit.end; ++row) {
      copy_row(blocks, unit.in->first_row + row * unit.in->row_step, codes, scales);
      for (std::size_t k = 0; k < x.size(); k += kBlockSize) {
        double of_code[16];
        for (std::uint8_t code = 0; code < 16; ++code)
          of_code[code] = double{e2m1_value(code)} * double{e8m0_value(scales[k / kBlockSize])};
        for (std::size_t i = k; i < k + kBlockSize; ++i) x[i] = of_code[codes[i / 2] >> (i % 2 * 4) & 15];
      }
      unit.out->weight->other->read_exact(row, row + 1, 0, columns, y.data());
      if (std::memcmp(x.data(), y.data(), x.size() * sizeof(double)) != 0) differ(unit, row, "values");
    }
    give_back(in_, *unit.in, unit);
  }

  // Another quantisation, of which BF16 was made.
  void compare_expanded(const Unit& unit) const {
    const auto count = static_cast<std::size_t>((unit.end - unit.begin) * columns_of(*unit.in));
    std::vector<float> values(count);
    std::vector<std::uint16_t> written(count);
    unit.in->weight->other->read(unit.begin, unit.end, 0, columns_of(*unit.in), values.data());
    copy_rows(unit.out->dense, unit.begin, unit.end, written.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (f32_to_bf16(values[i]) != written[i])
        differ(unit, unit.begin + static_cast<std::int64_t>(i) / columns_of(*unit.in), "values");
    }
  }

  void compare_stored(const Unit& unit) const {
    compare_stored(unit, *unit.in->weight->stored, *unit.out->weight->stored);
  }

  void compare_stored(const Unit& unit, const StoredTensor& in, const StoredTensor& out) const {
    const std::span<const std::byte> a = in.bytes, b = out.bytes;
    if (a.size() != b.size() || std::memcmp(a.data(), b.data(), a.size()) != 0)
      differ(unit, 0, "bytes", &out);
  }

  // Another quantisation, which OUT has as well.
  void compare_kept(const Unit& unit) const {
    const std::vector<const StoredTensor*>&a = unit.in->weight->other->stored,
                            &b = unit.out->weight->other->stored;
    if (a.size() != b.size()) differ(unit, 0, "tensors");
    for (std::size_t i = 0; i < a.size() && unit.begin == 0; ++i) compare_stored(unit, *a[i], *b[i]);
  }

  void compare_numbers(const Unit& unit) const {
    const DenseView &a = unit.in->dense, &b = unit.out->dense;
    const std::int64_t columns = columns_of(*unit.in);
    const auto count = static_cast<std::size_t>((unit.end - unit.begin) * columns);
    if (a.dtype != b.dtype) {
      std::vector<float> x(count), y(count);
      copy_rows_f32(a, unit.begin, unit.end, x.data());
      copy_rows_f32(b, unit.begin, unit.end, y.data());
      return compare_bytes(unit, x.data(), y.data(), sizeof(float), columns);
    }
    const auto bytes = static_cast<std::size_t>(bits_of(a.dtype)) / 8;
    if (a.contiguous() && b.contiguous()) {
      const std::size_t offset = static_cast<std::size_t>(unit.begin * columns) * bytes;
      return compare_bytes(unit, a.data + offset, b.data + offset, bytes, columns);
    }
    std::vector<std::byte> x(count * bytes), y(count * bytes);
    copy_rows(a, unit.begin, unit.end, x.data());
    copy_rows(b, unit.begin, unit.end, y.data());
    compare_bytes(unit, x.data(), y.data(), bytes, columns);
  }

  void compare_bytes(const Unit& unit, const void* x, const void* y, std::size_t bytes,
                     std::int64_t columns) const {
    const auto count = static_cast<std::size_t>((unit.end - unit.begin) * columns) * bytes;
    if (count == 0 || std::memcmp(x, y, count) == 0) return;
    const auto *a = static_cast<const std::byte*>(x), *b = static_cast<const std::byte*>(y);
    const auto at = static_cast<std::size_t>(std::mismatch(a, a + count, b).first - a);
    differ(unit, unit.begin + static_cast<std::int64_t>(at / bytes) / columns, "values");
  }

  const ModelFiles &in_, &out_;
};

std::vector<Unit> pair_up(const std::vector<Piece>& in, const std::vector<Piece>& out,
                          const std::filesystem::path& path) {
  std::unordered_map<std::string_view, const Piece*> by_name;
  for (const Piece& piece : out) by_name.emplace(piece.name, &piece);
  std::vector<Unit> units;
  for (const Piece& piece : in) {
    const auto found = by_name.find(piece.name);
    const auto is_blocks = [&](const Piece& one) {
      return one.is_quantized() || (piece.is_quantized() && one.weight->other != nullptr);
    };
    if (found == by_name.end() || is_blocks(*found->second) != piece.is_quantized() ||
        found->second->shape != piece.shape) {
      fail(ErrorCode::io, "{}: was written wrong: '{}' of shape {} is not there", path.native(), piece.name,
           to_string(piece.shape));
    }
    const std::int64_t rows = rows_of(piece),
                       per_unit = std::max<std::int64_t>(
                           kUnitElements / std::max<std::int64_t>(columns_of(piece), 1), 1);
    for (std::int64_t begin = 0; begin < rows; begin += per_unit)
      units.push_back({&piece, found->second, begin, std::min(begin + per_unit, rows)});
  }
  if (in.size() != out.size()) {
    fail(ErrorCode::io, "{}: was written wrong: it has {} tensors and parts of tensors, not {}",
         path.native(), out.size(), in.size());
  }
  return units;
}

}  // namespace

void check_converted(const ConvertSource& source, const std::filesystem::path& out, std::string_view format,
                     const Options& options) {
  const Convention* const convention = find_convention(format);
  Checkpoint written = open_checkpoint(out, convention != nullptr ? format : "");
  written.gpt_oss = source.checkpoint.gpt_oss;  // a bare file does not tell
  const std::vector<Piece> pieces = pieces_of(written);
  const std::vector<Unit> units = pair_up(source.pieces, pieces, out);
  const Comparer comparer(source.checkpoint, written);
  Pass pass(options.threads, nullptr, options.stop, options.team);
  pass.run(units.size(), [&](int, std::size_t index) -> std::uint64_t {
    comparer.compare(units[index]);
    return 0;
  });
  check_unchanged(source.checkpoint.files);
  check_unchanged(written.files);
}

}  // namespace mxfp4::job
