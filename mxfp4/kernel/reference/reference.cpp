// Quantise and dequantise as the definitions say it, in double, one element after the other. Nothing here is
// shared with the codec or the kernels but the order of nibbles: it is their judge. Slow.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {
namespace {

/// An IEEE 754 binary format by the widths of its fields.
struct Format {
  int exponent_bits, mantissa_bits;

  int bytes() const { return (1 + exponent_bits + mantissa_bits) / 8; }
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  std::uint32_t infinity() const { return ((1u << exponent_bits) - 1) << mantissa_bits; }
  std::uint32_t sign() const { return 1u << (exponent_bits + mantissa_bits); }

  double value(std::uint32_t bits) const {
    const std::uint32_t magnitude = bits & (sign() - 1);
    const double positive = magnitude > infinity()    ? std::numeric_limits<double>::quiet_NaN()
                            : magnitude == infinity() ? std::numeric_limits<double>::infinity()
                                                      : finite_value(magnitude);
    return bits & sign() ? -positive : positive;
  }

  /// To nearest, ties to even.
  std::uint32_t bits(double value) const {
    const std::uint32_t negative = std::signbit(value) ? sign() : 0;
    if (std::isnan(value)) return negative | infinity() | 1u << (mantissa_bits - 1);
    if (std::isinf(value)) return negative | infinity();
    if (value == 0) return negative;
    const int exponent = std::max(std::ilogb(value), 1 - bias());
    const double units = std::nearbyint(std::ldexp(std::fabs(value), mantissa_bits - exponent));
    const std::uint32_t magnitude = (static_cast<std::uint32_t>(exponent + bias() - 1) << mantissa_bits) +
                                    static_cast<std::uint32_t>(units);
    return negative | std::min(magnitude, infinity());
  }

 private:
  double finite_value(std::uint32_t magnitude) const {
    const int field = static_cast<int>(magnitude >> mantissa_bits);
    const std::uint32_t mantissa = magnitude & ((1u << mantissa_bits) - 1);
    if (field == 0) return std::ldexp(mantissa, 1 - bias() - mantissa_bits);
    return std::ldexp(mantissa + (1u << mantissa_bits), field - bias() - mantissa_bits);
  }
};

Format format_of(Dtype dtype) {
  return dtype == Dtype::f32 ? Format{8, 23} : dtype == Dtype::bf16 ? Format{8, 7} : Format{5, 10};
}

/// Element i of little-endian data.
double load(const void* data, std::size_t i, const Format& format) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, static_cast<const std::byte*>(data) + i * static_cast<std::size_t>(format.bytes()),
              static_cast<std::size_t>(format.bytes()));
  return format.value(bits);
}

constexpr double kMagnitudes[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

/// Up to a block of elements.
struct Elements {
  double value[32] = {};
  double weight[32] = {};
  int count = 0;

  void add(double x, double w) {
    weight[count] = w;
    value[count++] = x;
  }
};

double scale_of(int byte) {
  return std::ldexp(1.0, byte - 127);
}

/// The code of least distance; of two, the one that the tie rule names.
int nearest(double magnitude, double scale, Ties ties) {
  if (magnitude >= 6 * scale) return 7;
  int best = 0;
  for (int code = 1; code < 8; ++code) {
    const double nearer = std::fabs(magnitude - kMagnitudes[code] * scale);
    const double nearest = std::fabs(magnitude - kMagnitudes[best] * scale);
    const bool tie_goes_up = ties == Ties::away || (ties == Ties::even && code % 2 == 0);
    if (nearer < nearest || (nearer == nearest && tie_goes_up)) best = code;
  }
  return best;
}

/// Square of the threshold T of a closed-form rule: s is the smallest power of two with amax <= T * s,
/// or amax < T * s where T is strict.
struct Threshold {
  double square;
  bool strict;
};

Threshold threshold_of(ScaleRule rule) {
  switch (rule) {
    case ScaleRule::floor:
    case ScaleRule::optimal:
      return {8 * 8, true};
    case ScaleRule::even:
      return {7 * 7, true};
    case ScaleRule::rceil:
      return {6 * 6, false};
    case ScaleRule::ceil:
      return {4 * 4, false};
    case ScaleRule::t725:
      return {7.25 * 7.25, false};
    case ScaleRule::round6:
      return {6 * 6 * 2, false};
    case ScaleRule::floor6:
      return {12 * 12, true};
  }
  return {0, false};
}

/// The smallest byte that suffices, from 0 up; squares are exact in double.
int closed_form_byte(double amax, ScaleRule rule) {
  if (rule == ScaleRule::rceil) {  // defined in integers, on the f32 quotient
    const float quotient = static_cast<float>(amax) / 6.0f;
    std::uint32_t bits = 0;
    std::memcpy(&bits, &quotient, sizeof bits);
    return static_cast<int>(((bits + 0x7FFFFFu) & 0x7F800000u) >> 23);
  }
  const Threshold threshold = threshold_of(rule);
  int byte = 0;
  for (; byte < 254; ++byte) {
    const double limit = threshold.square * scale_of(byte) * scale_of(byte);
    if (threshold.strict ? amax * amax < limit : amax * amax <= limit) break;
  }
  return byte;
}

/// Squared error under `byte` minus that under `base`, as a sum of differences of squares: exact where the
/// bytes are so near that the result may be small, and far from 0 elsewhere.
double excess(const Elements& magnitudes, int base, int byte) {
  double sum = 0;
  for (int i = 0; i < magnitudes.count; ++i) {
    const double x = magnitudes.value[i];
    const double q0 = kMagnitudes[nearest(x, scale_of(base), Ties::even)] * scale_of(base);
    const double q = kMagnitudes[nearest(x, scale_of(byte), Ties::even)] * scale_of(byte);
    sum += (q0 - q) * (2 * x - q0 - q) * magnitudes.weight[i];
  }
  return sum;
}

/// The best of all 255 bytes; where several are, that of `floor`, else the one next to it.
int best_byte(const Elements& magnitudes, double amax) {
  const int base = closed_form_byte(amax, ScaleRule::floor);
  int best = base;
  double least = 0;
  for (int distance = 1; distance < 255; ++distance) {
    for (const int byte : {base + distance, base - distance}) {
      if (byte < 0 || byte > 254) continue;
      const double difference = excess(magnitudes, base, byte);
      if (difference < least) {
        least = difference;
        best = byte;
      }
    }
  }
  return best;
}

struct Block {
  int byte = 0;
  int codes[32] = {};
};

Block quantize_block(const Elements& x, const Recipe& recipe, const std::uint8_t* reference) {
  Elements finite;
  double amax = 0;
  for (int i = 0; i < x.count; ++i) {
    if (!std::isfinite(x.value[i])) continue;
    finite.add(std::fabs(x.value[i]), x.weight[i]);
    amax = std::max(amax, std::fabs(x.value[i]));
  }
  Block block;
  if (recipe.nonfinite == NonFinite::nan_block && finite.count < x.count) {
    block.byte = 255;
    std::fill(block.codes, block.codes + x.count, 7);
    return block;
  }
  block.byte =
      recipe.scale == ScaleRule::optimal ? best_byte(finite, amax) : closed_form_byte(amax, recipe.scale);
  if (reference != nullptr && *reference != 255 && excess(finite, block.byte, *reference) <= 0) {
    block.byte = *reference;
  }
  for (int i = 0; i < x.count; ++i) {
    if (std::isnan(x.value[i])) continue;
    const int code = nearest(std::fabs(x.value[i]), scale_of(block.byte), recipe.ties);
    block.codes[i] = std::signbit(x.value[i]) ? code + 8 : code;
  }
  return block;
}

/// What a block adds to the statistics; the sums are kept in long double until the end.
struct Totals {
  long double signal = 0, noise = 0;
  ErrorStats counts;

  /// Of the n elements of the row; x may have been completed with zeros.
  void add(const Elements& x, int n, const Block& block) {
    ++counts.blocks;
    counts.elements += static_cast<std::uint64_t>(n);
    ++counts.scales[static_cast<std::size_t>(block.byte)];
    if (block.byte == 255) return;
    const double scale = scale_of(block.byte);
    bool lossless = true;
    for (int i = 0; i < n; ++i) {
      const double magnitude = kMagnitudes[block.codes[i] % 8] * scale;
      const double q = block.codes[i] >= 8 ? -magnitude : magnitude;
      if (x.value[i] != q) lossless = false;
      if (std::fabs(x.value[i]) > 6 * scale) ++counts.saturated;
      if (!std::isfinite(x.value[i])) continue;
      const long double error = static_cast<long double>(x.value[i]) - q;
      signal += static_cast<long double>(x.value[i]) * x.value[i];
      noise += error * error;
    }
    if (lossless) ++counts.lossless_blocks;
  }
};

/// What stands there already.
Block given_block(const QuantizeArgs& args, std::size_t index) {
  const std::size_t size = static_cast<std::size_t>(args.block_size);
  Block block{args.scales[index], {}};
  for (std::size_t i = 0; i < size; ++i) {
    block.codes[i] = nibble(args.codes + index * size / 2, i, NibbleOrder::interleaved);
  }
  return block;
}

template <bool kGiven>
std::size_t quantize(const QuantizeArgs& args) noexcept {
  const std::size_t size = static_cast<std::size_t>(args.block_size);
  const std::size_t blocks = (args.columns + size - 1) / size;
  const Format format = format_of(args.dtype);
  Totals totals;
  for (std::size_t row = 0; row < args.rows; ++row) {
    const float* const weights = args.importance.of_row(row, args.columns);
    for (std::size_t b = 0; b < blocks; ++b) {
      Elements x;
      const std::size_t n = std::min(size, args.columns - b * size);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t element = row * args.columns + b * size + i;
        x.add(load(args.x, element, format),
              weights == nullptr ? 1.0 : static_cast<double>(weights[b * size + i]));
        if (!std::isfinite(x.value[i]) && args.recipe.nonfinite == NonFinite::error) return element;
      }
      while (x.count < args.block_size) x.add(0.0, 0.0);
      const std::size_t index = row * blocks + b;
      const Block block =
          kGiven
              ? given_block(args, index)
              : quantize_block(x, args.recipe, args.reference == nullptr ? nullptr : args.reference + index);
      args.scales[index] = static_cast<std::uint8_t>(block.byte);
      for (std::size_t i = 0; i < size; i += 2) {
        args.codes[(index * size + i) / 2] = pack_nibbles(static_cast<std::uint8_t>(block.codes[i]),
                                                          static_cast<std::uint8_t>(block.codes[i + 1]));
      }
      totals.add(x, static_cast<int>(n), block);
    }
  }
  if (args.stats != nullptr) {
    totals.counts.signal = static_cast<double>(totals.signal);
    totals.counts.noise = static_cast<double>(totals.noise);
    args.stats->add(totals.counts);
  }
  return kNone;
}

void measure(const QuantizeArgs& args) noexcept {
  quantize<true>(args);
}

void dequantize(const DequantizeArgs& args) noexcept {
  const std::size_t size = static_cast<std::size_t>(args.block_size);
  const std::size_t blocks = (args.columns + size - 1) / size;
  const Format format = format_of(args.dtype);
  const std::size_t bytes = static_cast<std::size_t>(format.bytes());
  for (std::size_t row = 0; row < args.rows; ++row) {
    for (std::size_t column = 0; column < args.columns; ++column) {
      const std::size_t block = row * blocks + column / size;
      const int code = nibble(args.codes + block * size / 2, column % size, args.order);
      const double scale =
          args.scales[block] == 255 ? std::numeric_limits<double>::quiet_NaN() : scale_of(args.scales[block]);
      const double value = (code >= 8 ? -1.0 : 1.0) * kMagnitudes[code % 8] * scale;
      const std::uint32_t bits = format.bits(value);
      std::memcpy(static_cast<std::byte*>(args.out) + (row * args.columns + column) * bytes, &bits, bytes);
    }
  }
}

void stream(const StreamArgs& args) noexcept {
  const auto* const in = static_cast<const std::byte*>(args.in);
  auto* const out = static_cast<std::byte*>(args.out);
  std::byte mixed{};
  for (std::size_t i = 0; i < args.in_bytes; ++i) mixed ^= in[i];
  std::fill(out, out + args.out_bytes, mixed);
}

}  // namespace

const Ops& reference_ops() noexcept {
  static constexpr Ops kOps = {quantize<false>, measure, dequantize, stream};
  return kOps;
}

}  // namespace mxfp4::kernel
