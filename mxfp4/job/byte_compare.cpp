#include <algorithm>
#include <cstring>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/byte_compare_internal.h"

namespace mxfp4::job {
namespace {

constexpr std::size_t kStretch = 4096;  // bytes that are compared at once

template <class Word>
void add_different(const std::byte* a, const std::byte* b, std::size_t words, std::size_t begin,
                   Found& found) {
  for (std::size_t i = 0; i < words; ++i) {
    if (std::memcmp(a + i * sizeof(Word), b + i * sizeof(Word), sizeof(Word)) == 0) continue;
    if (found.count++ == 0) found.first = begin + i;
  }
}

std::size_t width_of(const StoredTensor& tensor) {
  return static_cast<std::size_t>(std::max(bits_of(tensor.dtype), 8)) / 8;
}

}  // namespace

Found find_different(std::span<const std::byte> a, std::span<const std::byte> b, std::size_t width) noexcept {
  Found found;
  for (std::size_t begin = 0; begin < a.size(); begin += kStretch) {
    const std::size_t size = std::min(kStretch, a.size() - begin);
    const std::byte *const x = a.data() + begin, *const y = b.data() + begin;
    if (std::memcmp(x, y, size) == 0) continue;
    switch (width) {
      case 1:
        add_different<std::uint8_t>(x, y, size, begin, found);
        break;
      case 2:
        add_different<std::uint16_t>(x, y, size / 2, begin / 2, found);
        break;
      case 4:
        add_different<std::uint32_t>(x, y, size / 4, begin / 4, found);
        break;
      default:
        add_different<std::uint64_t>(x, y, size / 8, begin / 8, found);
    }
  }
  return found;
}

std::string StoredPair::text() const {
  const std::size_t width = width_of(*a), at = different.first * width;
  const bool whole = bits_of(a->dtype) % 8 == 0;
  const Shape bytes = {static_cast<std::int64_t>(a->bytes.size())};
  return fmt::format(
      "{}: {} in A, {} in B; {} of {} {} differ", place(different.first, whole ? a->shape : bytes),
      element_text(a->dtype, a->bytes.data() + at), element_text(b->dtype, b->bytes.data() + at),
      different.count, a->bytes.size() / width, whole ? "elements" : "bytes");
}

void compare_bytes(std::vector<StoredPair>& pairs, Pass& pass) {
  std::vector<std::size_t> sizes;
  for (const StoredPair& pair : pairs) sizes.push_back(pair.a->bytes.size());
  const std::vector<Chunk> chunks = chunks_of(sizes);
  std::mutex mutex;
  pass.run(chunks.size(), [&](int, std::size_t index) -> std::uint64_t {
    const Chunk& chunk = chunks[index];
    StoredPair& pair = pairs[chunk.tensor];
    const std::size_t width = width_of(*pair.a);
    const std::span<const std::byte> a = pair.a->bytes.subspan(chunk.begin, chunk.size),
                                     b = pair.b->bytes.subspan(chunk.begin, chunk.size);
    const Found found = find_different(a, b, width);
    if (pair.map_a != nullptr) pair.map_a->done_with(a);
    if (pair.map_b != nullptr) pair.map_b->done_with(b);
    const std::lock_guard lock(mutex);
    pair.different.add(found, chunk.begin / width);
    return chunk.size;
  });
  std::vector<Found> all;
  for (const StoredPair& pair : pairs) all.push_back(pair.different);
  pass.merge(all, [](Found& to, const Found& from) { to.add(from, 0); });
  for (std::size_t i = 0; i < all.size(); ++i) pairs[i].different = all[i];
}

}  // namespace mxfp4::job
