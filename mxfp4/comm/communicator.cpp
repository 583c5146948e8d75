#include "mxfp4/comm/communicator.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace mxfp4 {
namespace {

using Bytes = std::span<const std::byte>;
using Room = std::span<std::byte>;

/// Up to so many bytes from all ranks one exchange of everything is faster than two of shares.
constexpr std::size_t kWhole = 256 << 10;

class SingleProcess final : public Communicator {
 public:
  int rank() const noexcept override { return 0; }
  int size() const noexcept override { return 1; }
  void exchange(std::span<const Bytes> send, std::span<const Room> receive) override {
    std::copy(send[0].begin(), send[0].end(), receive[0].begin());
  }
  [[noreturn]] void abort(int status) noexcept override { std::_Exit(status); }
};

void add(const float* from, std::size_t count, float* to) noexcept {
  for (std::size_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

void Communicator::barrier() {
  const std::byte token{};
  const std::vector<std::size_t> sizes(static_cast<std::size_t>(size()), 1);
  std::vector<std::byte> all(sizes.size());
  all_gather(std::span(&token, 1), sizes, all.data());
}

void Communicator::broadcast(std::span<std::byte> bytes, int root) {
  const auto ranks = static_cast<std::size_t>(size());
  std::vector<Bytes> send(ranks);
  std::vector<Room> receive(ranks);
  if (rank() == root) {
    std::fill(send.begin(), send.end(), Bytes(bytes));
    send[static_cast<std::size_t>(root)] = {};
  } else {
    receive[static_cast<std::size_t>(root)] = bytes;
  }
  exchange(send, receive);
}

void Communicator::all_gather(Bytes mine, std::span<const std::size_t> sizes, std::byte* all) {
  const std::vector<Bytes> send(sizes.size(), mine);
  std::vector<Room> receive;
  for (const std::size_t size : sizes) {
    receive.emplace_back(all, size);
    all += size;
  }
  exchange(send, receive);
}

std::vector<std::string> Communicator::all_gather(Bytes mine) {
  const std::vector<std::size_t> words(static_cast<std::size_t>(size()), sizeof(std::size_t));
  std::vector<std::size_t> sizes(words.size());
  const std::size_t own = mine.size();
  all_gather(std::as_bytes(std::span(&own, 1)), words, reinterpret_cast<std::byte*>(sizes.data()));
  std::vector<std::string> all;
  std::vector<Room> receive;
  for (const std::size_t size : sizes) all.emplace_back(size, '\0');
  for (std::string& text : all) receive.push_back(std::as_writable_bytes(std::span(text)));
  exchange(std::vector<Bytes>(all.size(), mine), receive);
  return all;
}

void Communicator::all_reduce(std::span<float> values) {
  const auto ranks = static_cast<std::size_t>(size()), own = static_cast<std::size_t>(rank());
  if (ranks == 1) return;
  // Rank r sums share r, which begins here; or everybody sums everything.
  const bool whole = values.size_bytes() * ranks <= kWhole;
  const std::size_t step = whole ? values.size() : (values.size() + ranks - 1) / ranks;
  const auto share = [&](std::size_t r) {
    const std::size_t begin = whole ? 0 : std::min(r * step, values.size());
    return values.subspan(begin, std::min(step, values.size() - begin));
  };
  const std::size_t count = share(own).size();
  std::vector<float> parts(ranks * count);
  std::vector<Bytes> send;
  std::vector<Room> receive;
  for (std::size_t r = 0; r < ranks; ++r) {
    send.push_back(std::as_bytes(share(r)));
    receive.push_back(std::as_writable_bytes(std::span(parts).subspan(r * count, count)));
  }
  exchange(send, receive);
  for (std::size_t r = 1; r < ranks; ++r) add(parts.data() + r * count, count, parts.data());
  if (whole) {
    std::copy_n(parts.begin(), count, values.begin());
    return;
  }
  for (std::size_t r = 0; r < ranks; ++r) receive[r] = std::as_writable_bytes(share(r));
  exchange(std::vector<Bytes>(ranks, std::as_bytes(std::span(parts).first(count))), receive);
}

std::unique_ptr<Communicator> single_process() {
  return std::make_unique<SingleProcess>();
}

}  // namespace mxfp4
