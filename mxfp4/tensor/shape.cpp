#include "mxfp4/tensor/shape.h"

namespace mxfp4 {

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(size);
  }
  return text + "]";
}

std::int64_t element_count(std::span<const std::int64_t> shape) noexcept {
  // Unsigned, because byte_size() lets a product pass 2^63 on its way to 0.
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::uint64_t>(size);
  return static_cast<std::int64_t>(count);
}

std::optional<std::uint64_t> byte_size(Dtype dtype, const Shape& shape) noexcept {
  std::uint64_t bits = 1;
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bits, static_cast<std::uint64_t>(size), &bits))
      return std::nullopt;
  }
  if (__builtin_mul_overflow(bits, static_cast<std::uint64_t>(bits_of(dtype)), &bits)) return std::nullopt;
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

}  // namespace mxfp4
