// What every communicator must do, for tests: each rank calls these.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/comm/communicator.h"

namespace mxfp4 {

/// A number of which a sum depends on the order.
inline float addend(int rank, std::size_t i) {
  return static_cast<float>(rank + 1) * (1 + static_cast<float>(i % 97) * 0.37f) *
         (i % 5 == 0 ? 1e8f : -1.0f);
}

inline void expect_sums(Communicator& ranks, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = addend(ranks.rank(), i);
  ranks.all_reduce(values);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) {
    float sum = addend(0, i);
    for (int rank = 1; rank < ranks.size(); ++rank) sum += addend(rank, i);
    wrong += values[i] != sum;
  }
  EXPECT_EQ(wrong, 0u) << count << " values on rank " << ranks.rank() << " of " << ranks.size();
}

inline void expect_texts(Communicator& ranks) {
  const std::string mine(static_cast<std::size_t>(ranks.rank()) * 3, static_cast<char>('a' + ranks.rank()));
  const std::vector<std::string> all = ranks.all_gather(std::as_bytes(std::span(mine)));
  ASSERT_EQ(all.size(), static_cast<std::size_t>(ranks.size()));
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    EXPECT_EQ(all[rank], std::string(rank * 3, static_cast<char>('a' + rank)));
}

inline void expect_broadcast(Communicator& ranks) {
  for (int root = 0; root < ranks.size(); ++root) {
    std::vector<std::byte> bytes(1000, std::byte(ranks.rank()));
    ranks.broadcast(bytes, root);
    EXPECT_EQ(bytes, std::vector<std::byte>(1000, std::byte(root)));
  }
}

inline void expect_a_communicator(Communicator& ranks) {
  for (const std::size_t count : {0, 1, 2, 1000, 100'000, 1'000'003}) expect_sums(ranks, count);
  expect_texts(ranks);
  expect_broadcast(ranks);
  ranks.barrier();
}

}  // namespace mxfp4
