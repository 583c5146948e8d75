#include <algorithm>
#include <cmath>
#include <limits>

#include "mxfp4/codec/bits.h"
#include "mxfp4/job/compare_internal.h"

namespace mxfp4::job {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool same(float a, float b) noexcept {
  return a == b || (is_nan(a) && is_nan(b));
}

double error_of(float a, float b) noexcept {
  if (same(a, b)) return 0;
  if (!is_finite(a) || !is_finite(b)) return kInfinity;
  return std::abs(static_cast<double>(a) - static_cast<double>(b));
}

// Where the vector loop has met NaN or infinity.
Distance distance_by_element(const float* a, const float* b, std::size_t count) noexcept {
  Distance result;
  for (std::size_t i = 0; i < count; ++i) {
    const double error = error_of(a[i], b[i]);
    if (is_finite(a[i])) result.signal += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    result.noise += error * error;
    result.largest = std::max(result.largest, error);
    result.different += !same(a[i], b[i]);
  }
  return result;
}

}  // namespace

void Distance::add(const Distance& other) noexcept {
  signal += other.signal;
  noise += other.noise;
  largest = std::max(largest, other.largest);
  different += other.different;
}

double Distance::sqnr_db() const noexcept {
  return noise == 0 ? kInfinity : 10 * std::log10(signal / noise);
}

Distance distance(const float* a, const float* b, std::size_t count) noexcept {
  constexpr std::size_t kLanes = 8;
  double signal[kLanes] = {}, noise[kLanes] = {}, largest[kLanes] = {};
  const std::size_t whole = count / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double x = static_cast<double>(a[i + lane]);
      const double error = x - static_cast<double>(b[i + lane]);
      const double magnitude = std::abs(error);
      signal[lane] += x * x;
      noise[lane] += error * error;
      largest[lane] = magnitude > largest[lane] ? magnitude : largest[lane];
    }
  }
  Distance result = distance_by_element(a + whole, b + whole, count - whole);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    result.signal += signal[lane];
    result.noise += noise[lane];
    result.largest = std::max(result.largest, largest[lane]);
  }
  if (!std::isfinite(result.signal) || !std::isfinite(result.noise)) return distance_by_element(a, b, count);
  // Differences of f32 are multiples of 2^-149: their squares do not vanish.
  if (result.noise == 0) return result;
  result.different = 0;
  for (std::size_t i = 0; i < count; ++i) result.different += a[i] != b[i];
  return result;
}

Comparison::Comparison(Matched::Pair pair) : pair_(std::move(pair)) {
  const Shape& shape = pair_.a.shape();
  columns_ = shape.empty() ? 1 : shape.back();
  rows_ = columns_ == 0 ? 0 : element_count(shape) / columns_;
  rows_per_tile_ = std::max<std::int64_t>(kTileElements / std::max<std::int64_t>(columns_, 1), 1);
  tiles_per_row_ = std::max<std::int64_t>((columns_ + kTileElements - 1) / kTileElements, 1);
  distances_.resize(static_cast<std::size_t>((rows_ + rows_per_tile_ - 1) / rows_per_tile_ * tiles_per_row_));
}

Comparison::Tile Comparison::tile(std::size_t index) const noexcept {
  const auto number = static_cast<std::int64_t>(index);
  const std::int64_t row = number / tiles_per_row_ * rows_per_tile_;
  const std::int64_t column = number % tiles_per_row_ * kTileElements;
  return {row, std::min(row + rows_per_tile_, rows_), column, std::min(column + kTileElements, columns_)};
}

std::uint64_t Comparison::run(std::size_t index, float* scratch) {
  const Tile t = tile(index);
  const std::int64_t count = (t.row_end - t.row) * (t.column_end - t.column);
  float* const other = scratch + kTileElements;
  pair_.a.read(t.row, t.row_end, t.column, t.column_end, scratch);
  pair_.b.read(t.row, t.row_end, t.column, t.column_end, other);
  distances_[index] = distance(scratch, other, static_cast<std::size_t>(count));
  if (t.column_end == columns_) {
    pair_.a.release(t.row, t.row_end);
    pair_.b.release(t.row, t.row_end);
  }
  return pair_.a.bytes() * static_cast<std::uint64_t>(count) /
         static_cast<std::uint64_t>(std::max<std::int64_t>(rows_ * columns_, 1));
}

Distance Comparison::total() const noexcept {
  Distance total;
  for (const Distance& part : distances_) total.add(part);
  return total;
}

template <class Wanted>
Element Comparison::find(std::size_t index, const Wanted& wanted) const {
  const Tile t = tile(index);
  std::vector<float> a(kTileElements), b(kTileElements);
  pair_.a.read(t.row, t.row_end, t.column, t.column_end, a.data());
  pair_.b.read(t.row, t.row_end, t.column, t.column_end, b.data());
  const std::int64_t width = t.column_end - t.column;
  for (std::int64_t i = 0; i < (t.row_end - t.row) * width; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (wanted(a[at], b[at])) {
      const std::int64_t row = t.row + i / width, column = t.column + i % width;
      return {static_cast<std::uint64_t>(row * columns_ + column), a[at], b[at]};
    }
  }
  return {};
}

Element Comparison::first_different() const {
  const auto found = std::find_if(distances_.begin(), distances_.end(),
                                  [](const Distance& part) { return part.different > 0; });
  return find(static_cast<std::size_t>(found - distances_.begin()),
              [](float a, float b) { return !same(a, b); });
}

Element Comparison::most_distant() const {
  const auto found =
      std::max_element(distances_.begin(), distances_.end(),
                       [](const Distance& a, const Distance& b) { return a.largest < b.largest; });
  return find(static_cast<std::size_t>(found - distances_.begin()),
              [&](float a, float b) { return error_of(a, b) == found->largest; });
}

void run_comparisons(std::vector<Comparison>& comparisons, Pass& pass) {
  struct Unit {
    Comparison* comparison;
    std::size_t tile;
  };
  std::vector<Unit> units;
  for (Comparison& comparison : comparisons) {
    for (std::size_t tile = 0; tile < comparison.tiles(); ++tile) units.push_back({&comparison, tile});
  }
  std::vector<std::vector<float>> scratch(static_cast<std::size_t>(pass.threads()));
  pass.run(units.size(), [&](int worker, std::size_t index) {
    std::vector<float>& memory = scratch[static_cast<std::size_t>(worker)];
    if (memory.empty()) memory.resize(2 * Comparison::kTileElements);
    return units[index].comparison->run(units[index].tile, memory.data());
  });
  std::vector<Distance> all;
  for (Comparison& comparison : comparisons)
    all.insert(all.end(), comparison.distances().begin(), comparison.distances().end());
  pass.merge(all, [](Distance& to, const Distance& from) { to.add(from); });
  auto next = all.begin();
  for (Comparison& comparison : comparisons) {
    std::vector<Distance>& distances = comparison.distances();
    std::copy_n(next, distances.size(), distances.begin());
    next += static_cast<std::ptrdiff_t>(distances.size());
  }
}

}  // namespace mxfp4::job
