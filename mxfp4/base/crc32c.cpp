#include "mxfp4/base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace mxfp4 {
namespace {

// Polynomials modulo P = 0x1EDC6F41 are written with x^31 in the lowest bit and 1 in the highest.
constexpr std::uint32_t kReflected = 0x82F63B78, kOne = 0x80000000, kOneByte = kOne >> 8;

constexpr std::uint32_t times_x(std::uint32_t a) noexcept {
  return (a >> 1) ^ ((a & 1) != 0 ? kReflected : 0);
}

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t product = 0;
  for (; a != 0; a <<= 1) {
    product ^= (a & kOne) != 0 ? b : 0;
    b = times_x(b);
  }
  return product;
}

// x^(8 * 2^i)
constexpr auto kSquares = [] {
  std::array<std::uint32_t, 64> squares{kOneByte};
  for (std::size_t i = 1; i < squares.size(); ++i) squares[i] = multiply(squares[i - 1], squares[i - 1]);
  return squares;
}();

// A remainder, moved in front of so many bytes.
std::uint32_t moved(std::uint32_t remainder, std::uint64_t bytes) noexcept {
  for (std::size_t i = 0; bytes != 0; ++i, bytes >>= 1) {
    if ((bytes & 1) != 0) remainder = multiply(kSquares[i], remainder);
  }
  return remainder;
}

// [i][b]: byte b with i bytes behind it.
constexpr auto kTables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t a = byte;
    for (auto& table : tables) {
      for (int bit = 0; bit < 8; ++bit) a = times_x(a);
      table[byte] = a;
    }
  }
  return tables;
}();

// Little-endian, as everything here.
std::uint64_t load(const std::byte* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

#if defined(__x86_64__)
constexpr std::size_t kMuch = 1 << 14;  // where three streams pay

// The instruction takes a word per cycle, but its result three cycles: three thirds at a time.
__attribute__((target("sse4.2"))) std::uint32_t with_sse42(std::uint32_t before,
                                                           std::span<const std::byte> bytes) noexcept {
  std::uint64_t a = before;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  if (left >= kMuch) {
    const std::size_t third = left / 3 / 8 * 8;
    std::uint64_t b = 0, c = 0;
    for (const std::byte* const end = at + third; at != end; at += 8) {
      a = _mm_crc32_u64(a, load(at));
      b = _mm_crc32_u64(b, load(at + third));
      c = _mm_crc32_u64(c, load(at + 2 * third));
    }
    const std::uint32_t ab = moved(static_cast<std::uint32_t>(a), third) ^ static_cast<std::uint32_t>(b);
    a = moved(ab, third) ^ c;
    at += 2 * third;
    left -= 3 * third;
  }
  for (; left >= 8; left -= 8, at += 8) a = _mm_crc32_u64(a, load(at));
  auto rest = static_cast<std::uint32_t>(a);
  for (; left > 0; --left, ++at) rest = _mm_crc32_u8(rest, std::to_integer<std::uint8_t>(*at));
  return rest;
}
#endif

crc32c::Remainder best() noexcept {
  const crc32c::Remainder fast = crc32c::accelerated();
  return fast != nullptr ? fast : crc32c::portable;
}

}  // namespace

std::uint32_t crc32c::portable(std::uint32_t before, std::span<const std::byte> bytes) noexcept {
  std::uint32_t a = before;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    const std::uint64_t word = load(bytes.data() + at) ^ a;
    a = 0;
    for (std::size_t i = 0; i < 8; ++i) a ^= kTables[7 - i][word >> 8 * i & 0xFF];
  }
  for (; at < bytes.size(); ++at)
    a = (a >> 8) ^ kTables[0][(a ^ std::to_integer<std::uint32_t>(bytes[at])) & 0xFF];
  return a;
}

crc32c::Remainder crc32c::accelerated() noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return with_sse42;
#endif
  return nullptr;
}

void FileCrc32c::add(std::uint64_t offset, std::span<const std::byte> bytes) noexcept {
  static const crc32c::Remainder remainder = best();
  // The remainder of a sum is the sum of the remainders, and a sum is an exclusive or.
  sum_.fetch_xor(moved(remainder(0, bytes), size_ - offset - bytes.size()), std::memory_order_relaxed);
}

std::uint32_t FileCrc32c::value() const noexcept {
  return ~(moved(~std::uint32_t{0}, size_) ^ sum_.load());
}

}  // namespace mxfp4
