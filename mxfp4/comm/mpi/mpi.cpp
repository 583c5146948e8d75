// libmxfp4_mpi: the communicator over MPI. It calls nothing of the library.
#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

// Without the C++ bindings, which are gone from later versions.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include "mxfp4/base/error.h"
#include "mxfp4/comm/mpi_internal.h"

namespace mxfp4 {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;  // MPI counts in int
constexpr auto kImpatient = std::chrono::milliseconds(2);  // for so long the processor is kept
constexpr auto kShortSleep = std::chrono::microseconds(50), kLongSleep = std::chrono::microseconds(1000);
/// Of the time between two looks no more counts as waited: for the rest this process was suspended itself,
/// and the others perhaps with it.
constexpr Clock::duration kLongestLook = std::chrono::milliseconds(100);

std::string text_of(int status) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(status, text, &length);
  return std::string(text, static_cast<std::size_t>(length));
}

void check(int status, const char* what) {
  if (status != MPI_SUCCESS) throw Error(ErrorCode::io, fmt::format("MPI: {}: {}", what, text_of(status)));
}

/// Messages that are on their way, and whose: first those that come, then those that go.
class Messages {
 public:
  void receive(int rank, std::span<std::byte> bytes) {
    post(rank, bytes, [&](std::span<std::byte> part, MPI_Request& request) {
      return MPI_Irecv(part.data(), static_cast<int>(part.size()), MPI_BYTE, rank, 0, MPI_COMM_WORLD,
                       &request);
    });
    receives_ = requests_.size();
  }
  void send(int rank, std::span<const std::byte> bytes) {
    post(rank, bytes, [&](std::span<const std::byte> part, MPI_Request& request) {
      return MPI_Isend(part.data(), static_cast<int>(part.size()), MPI_BYTE, rank, 0, MPI_COMM_WORLD,
                       &request);
    });
  }

  void wait(int self, std::chrono::milliseconds timeout) {
    Clock::time_point last = Clock::now();
    Clock::duration waited{};
    auto sleep = kShortSleep;
    while (!done()) {
      const Clock::time_point now = Clock::now();
      waited += std::min(now - std::exchange(last, now), kLongestLook);
      if (waited > timeout) fail_waiting(self, timeout);
      if (waited < kImpatient) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(sleep);
        sleep = std::min(sleep * 2, kLongSleep);
      }
    }
  }

 private:
  template <class Span, class Post>
  void post(int rank, Span bytes, const Post& one) {
    for (std::size_t begin = 0; begin < bytes.size(); begin += kMostAtOnce) {
      requests_.push_back(MPI_REQUEST_NULL);
      ranks_.push_back(rank);
      check(one(bytes.subspan(begin, std::min(kMostAtOnce, bytes.size() - begin)), requests_.back()),
            "exchange");
    }
  }
  bool done() {
    int all = 0;
    check(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &all, MPI_STATUSES_IGNORE),
          "exchange");
    return all != 0;
  }
  /// Returns if the last has come in this very moment.
  void fail_waiting(int self, std::chrono::milliseconds timeout) {
    std::vector<int> missing;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      int one = 0;
      if (MPI_Test(&requests_[i], &one, MPI_STATUS_IGNORE) == MPI_SUCCESS && one != 0) continue;
      if (std::find(missing.begin(), missing.end(), ranks_[i]) == missing.end()) missing.push_back(ranks_[i]);
      if (i >= receives_) continue;  // what is sent cannot be called back
      MPI_Cancel(&requests_[i]);
      MPI_Wait(&requests_[i], MPI_STATUS_IGNORE);
    }
    if (missing.empty()) return;
    std::sort(missing.begin(), missing.end());
    throw Error(ErrorCode::io,
                fmt::format("rank {} has waited {} s for rank {}: it has stopped, hangs or is out of reach",
                            self, static_cast<double>(timeout.count()) / 1000, fmt::join(missing, ", ")));
  }

  std::vector<MPI_Request> requests_;
  std::vector<int> ranks_;
  std::size_t receives_ = 0;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator() {
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "start");
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "start");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "start");
  }
  ~MpiCommunicator() override { MPI_Finalize(); }

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return size_; }

  void exchange(std::span<const std::span<const std::byte>> send,
                std::span<const std::span<std::byte>> receive) override {
    const auto own = static_cast<std::size_t>(rank_);
    std::copy(send[own].begin(), send[own].end(), receive[own].begin());
    Messages messages;
    for (int r = 0; r < size_; ++r) {
      if (r != rank_) messages.receive(r, receive[static_cast<std::size_t>(r)]);
    }
    for (int r = 0; r < size_; ++r) {
      if (r != rank_) messages.send(r, send[static_cast<std::size_t>(r)]);
    }
    messages.wait(rank_, timeout);
  }

  [[noreturn]] void abort(int status) noexcept override {
    MPI_Abort(MPI_COMM_WORLD, status);
    std::_Exit(status);
  }

 private:
  int rank_ = 0, size_ = 1;
};

}  // namespace
}  // namespace mxfp4

extern "C" [[gnu::visibility("default")]] mxfp4::Communicator* mxfp4_start_mpi(std::string& error);

extern "C" mxfp4::Communicator* mxfp4_start_mpi(std::string& error) {
  try {
    // Communicators may be used by one thread after another.
    int provided = MPI_THREAD_SINGLE;
    mxfp4::check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "start");
    if (provided >= MPI_THREAD_SERIALIZED) return new mxfp4::MpiCommunicator;
    error = "this MPI cannot be used by one thread after another (MPI_THREAD_SERIALIZED)";
  } catch (const std::exception& exception) {
    error = exception.what();
  }
  return nullptr;
}
