// Elements of the caller's: words of `elements` from `first` on, of `dtype`.

uint element(uint index) {
  if (dtype == kF32) return elements[first + index];
  const uint raw = elements[first + index / 2] >> 16 * (index & 1u) & 0xFFFFu;
  return dtype == kBf16 ? raw << 16 : f32_of_f16(raw);
}
