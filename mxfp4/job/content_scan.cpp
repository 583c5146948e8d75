#include <algorithm>
#include <cstring>

#include "mxfp4/job/content_scan_internal.h"

namespace mxfp4::job {
namespace {

constexpr std::size_t kBlockBytes = 16;
constexpr std::size_t kStretch = 4096;  // elements that are looked at together

template <class Word>
Word load(const std::byte* at) noexcept {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

/// How NaN and infinity are known: the bits of the magnitude, and the least that is not finite.
struct Format {
  Dtype dtype;
  std::int64_t mask, limit;
};
constexpr Format kFormats[] = {
    {Dtype::f32, 0x7FFFFFFF, 0x7F800000}, {Dtype::bf16, 0x7FFF, 0x7F80},
    {Dtype::f16, 0x7FFF, 0x7C00},         {Dtype::f64, 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000},
    {Dtype::f8_e4m3, 0x7F, 0x7F},         {Dtype::f8_e5m2, 0x7F, 0x7C},
    {Dtype::f8_e8m0, 0xFF, 0xFF},
};

const Format* format_of(Dtype dtype) noexcept {
  for (const Format& format : kFormats) {
    if (format.dtype == dtype) return &format;
  }
  return nullptr;
}

/// Words that are not finite. `mask` never holds the sign bit of a signed Word.
template <class Word>
Found find(std::span<const std::byte> bytes, const Format& format) noexcept {
  const Word mask = static_cast<Word>(format.mask), limit = static_cast<Word>(format.limit);
  Found found;
  const std::size_t count = bytes.size() / sizeof(Word);
  for (std::size_t begin = 0; begin < count; begin += kStretch) {
    const std::byte* const at = bytes.data() + begin * sizeof(Word);
    const std::size_t size = std::min(kStretch, count - begin);
    Word most = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const Word word = static_cast<Word>(load<Word>(at + i * sizeof(Word)) & mask);
      most = word > most ? word : most;
    }
    if (most < limit) continue;
    for (std::size_t i = 0; i < size; ++i) {
      if (static_cast<Word>(load<Word>(at + i * sizeof(Word)) & mask) < limit) continue;
      if (found.count++ == 0) found.first = begin + i;
    }
  }
  return found;
}

using Bytes [[gnu::vector_size(16)]] = std::uint8_t;
using Halves [[gnu::vector_size(16)]] = std::uint64_t;

std::uint64_t sum(Bytes x) noexcept {
  std::uint64_t total = 0;
  for (int i = 0; i < 16; ++i) total += x[i];
  return total;
}

}  // namespace

void Found::add(const Found& part, std::uint64_t begin) noexcept {
  if (part.count == 0) return;
  first = count == 0 ? begin + part.first : std::min(first, begin + part.first);
  count += part.count;
}

bool can_be_nonfinite(Dtype dtype) noexcept {
  return format_of(dtype) != nullptr;
}

Found find_nonfinite(Dtype dtype, std::span<const std::byte> bytes) noexcept {
  const Format* const format = format_of(dtype);
  if (format == nullptr) return {};
  // Signed integers, because SSE2 compares no others; bytes it compares as they are.
  switch (bits_of(dtype)) {
    case 8:
      return find<std::uint8_t>(bytes, *format);
    case 16:
      return find<std::int16_t>(bytes, *format);
    case 32:
      return find<std::int32_t>(bytes, *format);
    default:
      return find<std::int64_t>(bytes, *format);
  }
}

void CodeCounts::add(const CodeCounts& other) noexcept {
  negative_zeros += other.negative_zeros;
  saturated += other.saturated;
  zero_blocks += other.zero_blocks;
  codes += other.codes;
  blocks += other.blocks;
}

CodeCounts count_codes(std::span<const std::byte> codes) noexcept {
  CodeCounts counts;
  counts.blocks = codes.size() / kBlockBytes;
  counts.codes = 2 * codes.size();
  // Sixteen counters of a byte each, two codes per step: they hold for 127 steps.
  constexpr std::uint64_t kSteps = 127;
  for (std::uint64_t begin = 0; begin < counts.blocks; begin += kSteps) {
    const std::uint64_t end = std::min(begin + kSteps, counts.blocks);
    Bytes negative_zeros{}, saturated{};
    for (std::uint64_t block = begin; block < end; ++block) {
      const Bytes both = load<Bytes>(codes.data() + block * kBlockBytes);
      const Bytes low = both & 0x0F, high = both >> 4;
      // A comparison gives -1 where it holds.
      negative_zeros -= reinterpret_cast<Bytes>(low == 8);
      negative_zeros -= reinterpret_cast<Bytes>(high == 8);
      saturated -= reinterpret_cast<Bytes>((both & 0x07) == 0x07);
      saturated -= reinterpret_cast<Bytes>((both & 0x70) == 0x70);
      const Halves magnitudes = reinterpret_cast<Halves>(both & 0x77);
      counts.zero_blocks += (magnitudes[0] | magnitudes[1]) == 0;
    }
    counts.negative_zeros += sum(negative_zeros);
    counts.saturated += sum(saturated);
  }
  return counts;
}

ByteCounts count_bytes(std::span<const std::byte> bytes) noexcept {
  // Four tables: equal neighbours do not wait for each other.
  constexpr std::size_t kTables = 4;
  std::array<ByteCounts, kTables> tables = {};
  const std::size_t whole = bytes.size() / kTables * kTables;
  for (std::size_t i = 0; i < whole; i += kTables) {
    for (std::size_t table = 0; table < kTables; ++table)
      ++tables[table][std::to_integer<std::size_t>(bytes[i + table])];
  }
  for (std::size_t i = whole; i < bytes.size(); ++i) ++tables[0][std::to_integer<std::size_t>(bytes[i])];
  for (std::size_t table = 1; table < kTables; ++table) {
    for (std::size_t byte = 0; byte < 256; ++byte) tables[0][byte] += tables[table][byte];
  }
  return tables[0];
}

}  // namespace mxfp4::job
