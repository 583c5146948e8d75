#include "mxfp4/comm/shard.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {

ExpertMap::ExpertMap(std::int64_t experts, std::vector<std::vector<std::int32_t>> held)
    : held_(std::move(held)) {
  if (experts < 0) fail(ErrorCode::invalid_argument, "expert map: {} experts", experts);
  owners_.resize(static_cast<std::size_t>(experts));
  for (int rank = 0; rank < ranks(); ++rank) {
    std::vector<std::int32_t>& mine = held_[static_cast<std::size_t>(rank)];
    std::sort(mine.begin(), mine.end());
    for (const std::int32_t expert : mine) {
      if (expert < 0 || expert >= experts) {
        fail(ErrorCode::invalid_argument, "expert map: rank {} has expert {}, but there are {}", rank, expert,
             experts);
      }
      std::vector<int>& owners = owners_[static_cast<std::size_t>(expert)];
      if (!owners.empty() && owners.back() == rank) {
        fail(ErrorCode::invalid_argument, "expert map: rank {} has expert {} twice", rank, expert);
      }
      owners.push_back(rank);
    }
  }
  for (std::size_t expert = 0; expert < owners_.size(); ++expert) {
    if (owners_[expert].empty()) {
      fail(ErrorCode::invalid_argument, "expert map: none of {} ranks has expert {} of {}", ranks(), expert,
           experts);
    }
  }
}

ExpertMap ExpertMap::even(std::int64_t experts, int ranks) {
  if (ranks < 1 || experts < ranks) {
    fail(ErrorCode::invalid_argument, "expert parallel: {} experts are too few for {} ranks", experts, ranks);
  }
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < ranks; ++rank) counts.push_back(experts / ranks + (rank < experts % ranks));
  return ExpertMap::ranges(counts);
}

ExpertMap ExpertMap::ranges(std::span<const std::int64_t> counts) {
  std::vector<std::vector<std::int32_t>> held;
  std::int32_t next = 0;
  for (const std::int64_t count : counts) {
    if (count < 0)
      fail(ErrorCode::invalid_argument, "expert map: rank {} has {} experts", held.size(), count);
    held.emplace_back(static_cast<std::size_t>(count));
    std::iota(held.back().begin(), held.back().end(), next);
    next += static_cast<std::int32_t>(count);
  }
  return ExpertMap(next, std::move(held));
}

std::int32_t ExpertMap::local(int rank, std::int64_t expert) const noexcept {
  const std::vector<std::int32_t>& mine = held_[static_cast<std::size_t>(rank)];
  const auto found = std::lower_bound(mine.begin(), mine.end(), expert);
  return found != mine.end() && *found == expert ? static_cast<std::int32_t>(found - mine.begin()) : -1;
}

std::vector<int> ExpertMap::choose(std::span<const std::int32_t> ids) const {
  std::vector<int> chosen(ids.size(), -1);
  std::vector<std::size_t> load(held_.size());
  const auto take = [&](std::size_t route, int rank) {
    chosen[route] = rank;
    ++load[static_cast<std::size_t>(rank)];
  };
  // Those that have no choice first.
  for (std::size_t route = 0; route < ids.size(); ++route) {
    if (ids[route] == -1) continue;
    if (ids[route] < 0 || ids[route] >= experts()) {
      fail(ErrorCode::invalid_argument, "expert map: route {} goes to expert {}, but there are {}", route,
           ids[route], experts());
    }
    if (owners(ids[route]).size() == 1) take(route, owners(ids[route]).front());
  }
  for (std::size_t route = 0; route < ids.size(); ++route) {
    if (ids[route] == -1 || chosen[route] != -1) continue;
    const std::vector<int>& all = owners(ids[route]);
    take(route, *std::min_element(all.begin(), all.end(), [&](int a, int b) {
           return load[static_cast<std::size_t>(a)] < load[static_cast<std::size_t>(b)];
         }));
  }
  return chosen;
}

std::vector<TensorShard> cut_channels(std::int64_t channels, int shards, std::int64_t multiple) {
  if (multiple <= 0 || multiple % kShardMultiple != 0) {
    fail(ErrorCode::invalid_argument,
         "tensor parallel: shards in multiples of {} channels, which is none of {}", multiple,
         kShardMultiple);
  }
  const std::int64_t units = (channels + multiple - 1) / multiple;
  if (shards < 1 || units < shards) {
    fail(ErrorCode::invalid_argument, "tensor parallel: {} channels are {} times {}, too few for {} ranks",
         channels, units, multiple, shards);
  }
  std::vector<TensorShard> all;
  std::int64_t begin = 0;
  for (int shard = 0; shard < shards; ++shard) {
    const std::int64_t padded = (units / shards + (shard < units % shards)) * multiple;
    all.push_back({begin, std::min(begin + padded, channels), padded});
    begin += padded;
  }
  return all;
}

ShardPlan share_experts(std::int64_t experts, int ranks, int tensor) {
  if (tensor < 1 || ranks < 1 || ranks % tensor != 0) {
    fail(ErrorCode::invalid_argument, "{} ranks are no groups of {} that share tensors", ranks, tensor);
  }
  return {ExpertMap::even(experts, ranks / tensor), tensor};
}

}  // namespace mxfp4
