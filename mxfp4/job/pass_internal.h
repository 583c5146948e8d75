// Reading whole models: pieces of work on all threads, with progress and stop.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "mxfp4/base/context.h"
#include "mxfp4/checkpoint/model_files.h"
#include "mxfp4/job/progress.h"

namespace mxfp4::job {

/// What verify and diff do their reading with.
class Pass {
 public:
  /// `threads` 0: all. Progress and stop may be null.
  Pass(int threads, Progress* progress, const std::atomic<bool>* stop);

  int threads() const noexcept { return context_.threads; }
  /// Announces bytes that will be read.
  void expect(std::uint64_t bytes) noexcept { total_ += bytes; }
  /// Calls body(worker, index) for every index in [0, count), worker in [0, threads()); it returns how many
  /// bytes it has read. Throws Error interrupted, and what body throws.
  void run(std::size_t count, const std::function<std::uint64_t(int worker, std::size_t index)>& body);

 private:
  Context context_;
  Progress* progress_;
  const std::atomic<bool>* stop_;
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
