// Reading whole models: pieces of work on all threads, with progress and stop.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mxfp4/base/context.h"
#include "mxfp4/checkpoint/model_files.h"
#include "mxfp4/job/progress.h"
#include "mxfp4/job/team.h"

namespace mxfp4::job {

/// What verify and diff do their reading with.
class Pass {
 public:
  /// `threads` 0: all. Progress, stop and team may be null.
  Pass(int threads, Progress* progress, const std::atomic<bool>* stop, Team* team = nullptr);

  int threads() const noexcept { return context_.threads; }
  /// Announces bytes that will be read.
  void expect(std::uint64_t bytes) noexcept { total_ += bytes; }
  /// Calls body(worker, index) for every index in [0, count), worker in [0, threads()); it returns how many
  /// bytes it has read. The ranks of a team take a range each. Throws Error interrupted, and what body
  /// throws.
  void run(std::size_t count, const std::function<std::uint64_t(int worker, std::size_t index)>& body);

  /// What the ranks have found, each beginning with nothing, becomes what all of them have found:
  /// add(to, from) for every value, in the order of the ranks. The values are of a type without pointers.
  template <class T, class Add>
  void merge(std::vector<T>& values, const Add& add) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (team_ == nullptr) return;
    const std::size_t size = values.size() * sizeof(T);
    std::string mine(size, '\0');
    if (size > 0) std::memcpy(mine.data(), values.data(), size);
    std::vector<T> other(values.size());
    bool first = true;
    for (const std::string& theirs : team_->gather(std::move(mine))) {
      if (size > 0) std::memcpy(static_cast<void*>(other.data()), theirs.data(), size);
      for (std::size_t i = 0; i < other.size(); ++i)
        first ? void(values[i] = other[i]) : add(values[i], other[i]);
      first = false;
    }
  }

 private:
  Context context_;
  Progress* progress_;
  const std::atomic<bool>* stop_;
  Team* team_;
  std::mutex mutex_;
  std::uint64_t done_ = 0, total_ = 0;
};

/// A part of one of several tensors: whole blocks, whole elements.
struct Chunk {
  std::size_t tensor = 0;  ///< its number
  std::size_t begin = 0, size = 0;
};

/// Tensors of these sizes in bytes, cut.
std::vector<Chunk> chunks_of(const std::vector<std::size_t>& sizes);

/// Throws Error io if one of the files has been changed since it was opened.
void check_unchanged(const ModelFiles& files);

/// The index of element `number` of a tensor: "[0, 3, 17]".
std::string place(std::uint64_t number, const Shape& shape);

/// An element as text: "0.25", "NaN", "-Inf", "7"; of dtypes that are no plain numbers its bytes, "0x3a".
std::string element_text(Dtype dtype, const std::byte* element);
std::string number_text(float value);
std::string number_text(double value);

}  // namespace mxfp4::job
