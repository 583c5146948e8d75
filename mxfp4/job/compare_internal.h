// The weights of two models beside each other, whatever their names, layouts and dtypes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/pieces.h"
#include "mxfp4/job/pass_internal.h"

namespace mxfp4::job {

/// A weight, or those rows of one that another model stores as a tensor of its own.
class Operand {
 public:
  Operand(const Checkpoint& checkpoint, const Weight& weight);
  Operand(const Checkpoint& checkpoint, const Piece& piece);

  const std::string& name() const noexcept { return name_; }
  const Shape& shape() const noexcept { return shape_; }  ///< [..., N, K]
  const Weight& weight() const noexcept { return *weight_; }
  /// Whether its elements can be read as F32: it is F32, F16, BF16 or MXFP4.
  bool numeric() const noexcept;
  std::uint64_t bytes() const noexcept;
  std::string file() const;

  /// Shows dense experts, of which nothing tells whether they are [E, N, K] or [E, K, N], as a model does
  /// that knows it.
  void orient_like(const Operand& other);

  /// Elements of rows and columns, for a numeric one.
  void read(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
            float* out) const;
  /// Its pages may go.
  void release(std::int64_t row, std::int64_t row_end) const;

 private:
  const Checkpoint* checkpoint_;
  const Weight* weight_;
  std::string name_;
  Shape shape_;
  DenseView dense_;
  std::int64_t first_row_ = 0, row_step_ = 1;  ///< of a quantised weight
  const MappedFile* map_;
};

/// What weights two models share: those of one name, or else pieces of one name.
struct Matched {
  struct Pair {
    Operand a, b;
  };
  std::vector<Pair> pairs;
  std::vector<Operand> only_a, only_b;
};
Matched match_weights(const Checkpoint& a, const Checkpoint& b);

/// How far values lie from what they should be. Elements that are both NaN, or the same infinity, are equal;
/// otherwise a NaN or infinity is infinitely far from everything.
struct Distance {
  double signal = 0;            ///< sum of a^2 over finite elements
  double noise = 0;             ///< sum of (a - b)^2
  double largest = 0;           ///< |a - b|
  std::uint64_t different = 0;  ///< elements with a != b

  void add(const Distance& other) noexcept;
  double sqnr_db() const noexcept;
};

Distance distance(const float* a, const float* b, std::size_t count) noexcept;

/// An element of both.
struct Element {
  std::uint64_t number = 0;
  float a = 0, b = 0;
};

/// Two numeric weights of one shape, compared.
class Comparison {
 public:
  explicit Comparison(Matched::Pair pair);

  const Matched::Pair& pair() const noexcept { return pair_; }
  std::size_t tiles() const noexcept { return distances_.size(); }
  /// Compares one tile; each may be done by another thread. Returns the bytes read. `scratch` holds
  /// kTileElements for each side.
  std::uint64_t run(std::size_t tile, float* scratch);

  /// Of every tile, nothing for one that was not run.
  std::vector<Distance>& distances() noexcept { return distances_; }
  Distance total() const noexcept;  ///< added in the order of the tiles
  Element first_different() const;  ///< read again; there must be one
  Element most_distant() const;     ///< read again

  static constexpr std::int64_t kTileElements = 1 << 18;

 private:
  struct Tile {
    std::int64_t row, row_end, column, column_end;
  };
  Tile tile(std::size_t index) const noexcept;
  template <class Wanted>
  Element find(std::size_t tile, const Wanted& wanted) const;

  Matched::Pair pair_;
  std::int64_t rows_, columns_, rows_per_tile_, tiles_per_row_;
  std::vector<Distance> distances_;
};

/// Runs all tiles of all comparisons.
void run_comparisons(std::vector<Comparison>& comparisons, Pass& pass);

}  // namespace mxfp4::job
