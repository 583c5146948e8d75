// Who owns what, when experts are shared by several ranks: plans, without a rank to run on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mxfp4 {

/// Which experts each of several ranks has. An expert that several have is replicated: each of its routes
/// goes to one of the copies.
class ExpertMap {
 public:
  /// held[r]: the experts of rank r, in any order; a rank may have none. Throws Error invalid_argument for an
  /// expert that nobody has, that a rank names twice, or that is not in [0, experts).
  ExpertMap(std::int64_t experts, std::vector<std::vector<std::int32_t>> held);

  /// Ranges that follow each other, as even as can be: the first ranks have one more. Throws Error
  /// invalid_argument for more ranks than experts.
  static ExpertMap even(std::int64_t experts, int ranks);
  /// Ranges of these lengths.
  static ExpertMap ranges(std::span<const std::int64_t> counts);

  std::int64_t experts() const noexcept { return static_cast<std::int64_t>(owners_.size()); }
  int ranks() const noexcept { return static_cast<int>(held_.size()); }
  /// In ascending order: the number of an expert on its rank is its place here.
  const std::vector<std::int32_t>& held(int rank) const { return held_[static_cast<std::size_t>(rank)]; }
  /// In ascending order.
  const std::vector<int>& owners(std::int64_t expert) const {
    return owners_[static_cast<std::size_t>(expert)];
  }
  /// An expert's number on a rank, or -1.
  std::int32_t local(int rank, std::int64_t expert) const noexcept;

  /// The rank of every route, -1 where the id is -1. An expert with several copies gives each route to the
  /// owner with the fewest so far, of these to the lowest; so every rank knows the same without asking.
  /// Throws Error invalid_argument for an id that is neither -1 nor an expert.
  std::vector<int> choose(std::span<const std::int32_t> ids) const;

 private:
  std::vector<std::vector<std::int32_t>> held_;
  std::vector<std::vector<int>> owners_;
};

/// Intermediate channels [begin, end) of every expert: rows 2 begin to 2 end of gate_up, where gate and up
/// alternate, or rows begin to end of both; columns begin to end of down.
struct TensorShard {
  std::int64_t begin = 0, end = 0;
  std::int64_t padded = 0;  ///< channels of the kernel: end - begin, rounded up; the rest are zeros

  std::int64_t size() const noexcept { return end - begin; }
  bool operator==(const TensorShard&) const = default;
};

/// The channels that blocks of down's columns cannot be cut below.
inline constexpr std::int64_t kShardMultiple = 32;

/// Cuts `channels` into so many shards in multiples of `multiple`, as even as that allows: the first have one
/// multiple more. Where they are no multiple themselves, the last shard is padded. Throws Error
/// invalid_argument for a multiple that is none of 32, and if a shard would be empty.
std::vector<TensorShard> cut_channels(std::int64_t channels, int shards,
                                      std::int64_t multiple = kShardMultiple);

/// Ranks in groups of `tensor`: the ranks of a group have the same experts and share their channels; the bias
/// of down is added by the first of them.
struct ShardPlan {
  ExpertMap experts;  ///< its ranks are groups
  int tensor = 1;
  std::int64_t multiple = kShardMultiple;

  int ranks() const noexcept { return experts.ranks() * tensor; }
  int group(int rank) const noexcept { return rank / tensor; }
  int member(int rank) const noexcept { return rank % tensor; }
};

/// Even ranges of experts over ranks / tensor groups. Throws Error invalid_argument unless that is whole.
ShardPlan share_experts(std::int64_t experts, int ranks, int tensor = 1);

}  // namespace mxfp4
