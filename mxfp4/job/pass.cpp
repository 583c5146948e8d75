#include <algorithm>
#include <cmath>
#include <cstring>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/job/pass_internal.h"

namespace mxfp4::job {
namespace {

constexpr std::size_t kChunk = 4 << 20;

template <class Number>
Number load(const std::byte* at) noexcept {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

}  // namespace

Pass::Pass(int threads, Progress* progress, const std::atomic<bool>* stop, Team* team)
    : progress_(progress), stop_(stop), team_(team) {
  if (threads > 0) context_.threads = threads;
}

void Pass::run(std::size_t count, const std::function<std::uint64_t(int worker, std::size_t index)>& body) {
  const auto rank = static_cast<std::size_t>(team_ == nullptr ? 0 : team_->rank()),
             ranks = static_cast<std::size_t>(team_ == nullptr ? 1 : team_->size());
  const std::size_t begin = count * rank / ranks, end = count * (rank + 1) / ranks;
  parallel_for(context_, end - begin, [&](int worker, std::size_t index) {
    if (stop_ != nullptr && stop_->load(std::memory_order_relaxed)) fail(ErrorCode::interrupted, "stopped");
    if (team_ != nullptr) team_->check();
    const std::uint64_t bytes = body(worker, begin + index);
    if (team_ != nullptr) team_->advance(bytes);
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    if (progress_ != nullptr) progress_->advance(team_ == nullptr ? done_ : team_->done(), total_);
  });
}

std::vector<Chunk> chunks_of(const std::vector<std::size_t>& sizes) {
  std::vector<Chunk> chunks;
  for (std::size_t tensor = 0; tensor < sizes.size(); ++tensor) {
    for (std::size_t begin = 0; begin < sizes[tensor]; begin += kChunk) {
      chunks.push_back({tensor, begin, std::min(kChunk, sizes[tensor] - begin)});
    }
  }
  return chunks;
}

void check_unchanged(const ModelFiles& files) {
  for (const TensorFilePtr& file : files.files) file->map.check_unchanged();
}

std::string place(std::uint64_t number, const Shape& shape) {
  Shape index(shape.size());
  for (std::size_t d = shape.size(); d-- > 0;) {
    const auto size = static_cast<std::uint64_t>(shape[d]);
    index[d] = static_cast<std::int64_t>(number % size);
    number /= size;
  }
  return to_string(index);
}

std::string number_text(float value) {
  return std::isfinite(value) ? fmt::format("{}", value) : number_text(static_cast<double>(value));
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Inf" : "-Inf";
  return fmt::format("{}", value);
}

std::string element_text(Dtype dtype, const std::byte* element) {
  switch (dtype) {
    case Dtype::f64:
      return number_text(load<double>(element));
    case Dtype::f32:
      return number_text(load<float>(element));
    case Dtype::bf16:
      return number_text(bf16_to_f32(load<std::uint16_t>(element)));
    case Dtype::f16:
      return number_text(f16_to_f32(load<std::uint16_t>(element)));
    case Dtype::u8:
    case Dtype::boolean:
      return std::to_string(load<std::uint8_t>(element));
    case Dtype::i8:
      return std::to_string(load<std::int8_t>(element));
    case Dtype::u16:
      return std::to_string(load<std::uint16_t>(element));
    case Dtype::i16:
      return std::to_string(load<std::int16_t>(element));
    case Dtype::u32:
      return std::to_string(load<std::uint32_t>(element));
    case Dtype::i32:
      return std::to_string(load<std::int32_t>(element));
    case Dtype::u64:
      return std::to_string(load<std::uint64_t>(element));
    case Dtype::i64:
      return std::to_string(load<std::int64_t>(element));
    default: {
      std::string text = "0x";
      const int bytes = std::max(bits_of(dtype) / 8, 1);
      for (int i = bytes; i-- > 0;) text += fmt::format("{:02x}", std::to_integer<unsigned>(element[i]));
      return text;
    }
  }
}

}  // namespace mxfp4::job
