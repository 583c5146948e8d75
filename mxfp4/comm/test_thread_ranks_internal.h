// Ranks that are threads of one process, for tests.
#pragma once

#include <algorithm>
#include <barrier>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "mxfp4/comm/communicator.h"

namespace mxfp4 {

/// What the threads have in common. Bytes wait here for whom they are meant; nobody is waited for in vain.
struct ThreadRanks {
  explicit ThreadRanks(int ranks) : size(ranks), all(ranks) {}
  int size;
  std::barrier<> all;
  std::vector<std::span<const std::span<const std::byte>>> sent{static_cast<std::size_t>(size)};
};

class ThreadRank final : public Communicator {
 public:
  ThreadRank(ThreadRanks& ranks, int rank) : ranks_(ranks), rank_(rank) {}
  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return ranks_.size; }
  void exchange(std::span<const std::span<const std::byte>> send,
                std::span<const std::span<std::byte>> receive) override {
    ranks_.sent[static_cast<std::size_t>(rank_)] = send;
    ranks_.all.arrive_and_wait();
    for (std::size_t r = 0; r < receive.size(); ++r) {
      const auto from = ranks_.sent[r][static_cast<std::size_t>(rank_)];
      if (from.size() != receive[r].size()) std::abort();
      std::copy(from.begin(), from.end(), receive[r].begin());
    }
    ranks_.all.arrive_and_wait();
  }
  [[noreturn]] void abort(int) noexcept override { std::abort(); }

 private:
  ThreadRanks& ranks_;
  int rank_;
};

/// Runs body on so many ranks.
inline void on_ranks(int count, const std::function<void(Communicator&)>& body) {
  ThreadRanks ranks(count);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadRank communicator(ranks, rank);
      body(communicator);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace mxfp4
