#include "mxfp4/cli/bench_codec.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>

#include <sys/mman.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::cli {
namespace {

constexpr int kRounds = 15;
constexpr std::size_t kAhead = 4096;  // bytes, of a pass that prefetches
constexpr std::size_t kHugePage = 2 << 20;

/// Memory in huge pages where the system has them: what is measured are kernels, not tables of pages.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes) : size_((bytes + kHugePage - 1) / kHugePage * kHugePage) {
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(kHugePage, size_)));
    if (data_ == nullptr) throw Error(ErrorCode::out_of_memory, "bench: no memory for the buffers");
    ::madvise(data_.get(), size_, MADV_HUGEPAGE);
    std::memset(data_.get(), 0, size_);
  }
  std::byte* data() const noexcept { return data_.get(); }
  std::uint8_t* bytes() const noexcept { return reinterpret_cast<std::uint8_t*>(data_.get()); }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept { std::free(p); }
  };
  std::size_t size_;
  std::unique_ptr<std::byte, Free> data_;
};

/// A matrix, its dense and its quantised side, and threads that take equal runs of its rows.
class Work {
 public:
  explicit Work(const CodecBench& bench)
      : bench_(bench),
        element_bytes_(static_cast<std::size_t>(bits_of(bench.dtype)) / 8),
        rows_(static_cast<std::size_t>(bench.rows)),
        columns_(static_cast<std::size_t>(bench.columns)),
        blocks_((columns_ + 31) / 32),
        dense_(rows_ * columns_ * element_bytes_),
        packed_(rows_ * blocks_ * 17) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    std::vector<float> period((1 << 20) - 32);  // of whole blocks, and of no power of two
    for (float& x : period) x = normal(random);
    for (std::size_t i = 0; i < rows_ * columns_; ++i) {
      const float x = period[i % period.size()];
      const std::uint16_t half = bench.dtype == Dtype::f16 ? f32_to_f16(x) : f32_to_bf16(x);
      std::memcpy(dense_.data() + i * element_bytes_,
                  bench.dtype == Dtype::f32 ? static_cast<const void*>(&x) : &half, element_bytes_);
    }
  }

  std::size_t dense_bytes() const noexcept { return rows_ * columns_ * element_bytes_; }

  void quantize(bool with_statistics) const {
    std::vector<ErrorStats> stats(static_cast<std::size_t>(bench_.threads));
    over_rows([&](std::size_t part, std::size_t first, std::size_t count) {
      kernel::QuantizeArgs args;
      args.x = dense_.data() + first * columns_ * element_bytes_;
      args.dtype = bench_.dtype;
      args.rows = count;
      args.columns = columns_;
      args.recipe = bench_.recipe;
      args.codes = codes(first);
      args.scales = scales(first);
      args.stats = with_statistics ? &stats[part] : nullptr;
      args.streaming = true;
      ops().quantize(args);
    });
  }

  void dequantize() const {
    over_rows([&](std::size_t, std::size_t first, std::size_t count) {
      kernel::DequantizeArgs args;
      args.codes = codes(first);
      args.scales = scales(first);
      args.rows = count;
      args.columns = columns_;
      args.dtype = bench_.dtype;
      args.out = dense_.data() + first * columns_ * element_bytes_;
      args.streaming = true;
      ops().dequantize(args);
    });
  }

  /// Passes over the same bytes in the same pieces, on the best instruction set of the machine.
  void pass(bool from_dense, bool streaming, std::size_t prefetch) const {
    over_rows([&](std::size_t, std::size_t first, std::size_t count) {
      const std::size_t dense_bytes = count * columns_ * element_bytes_, packed_bytes = count * blocks_ * 17;
      std::byte* const dense = dense_.data() + first * columns_ * element_bytes_;
      std::byte* const packed = packed_.data() + first * blocks_ * 17 / 64 * 64;
      std::byte* const in = from_dense ? dense : packed;
      std::byte* const out = from_dense ? packed : dense;
      kernel::cpu_ops(best_isa())
          .stream({in, from_dense ? dense_bytes : packed_bytes, out, from_dense ? packed_bytes : dense_bytes,
                   streaming, prefetch});
    });
  }

 private:
  static const kernel::Ops& ops() { return kernel::cpu_ops(default_isa()); }
  static Isa best_isa() {
    for (const Isa isa : built_isas()) {
      if (supported(isa)) return isa;
    }
    return Isa::scalar;
  }

  std::uint8_t* codes(std::size_t row) const noexcept { return packed_.bytes() + row * blocks_ * 16; }
  std::uint8_t* scales(std::size_t row) const noexcept {
    return packed_.bytes() + rows_ * blocks_ * 16 + row * blocks_;
  }

  void over_rows(const std::function<void(std::size_t, std::size_t, std::size_t)>& body) const {
    const auto parts = static_cast<std::size_t>(bench_.threads);
    parallel_for({bench_.threads, default_isa()}, parts, [&](int, std::size_t part) {
      const std::size_t first = rows_ * part / parts;
      body(part, first, rows_ * (part + 1) / parts - first);
    });
  }

  CodecBench bench_;
  std::size_t element_bytes_, rows_, columns_, blocks_;
  Buffer dense_, packed_;
};

struct Candidate {
  std::string name;
  std::function<void()> run;
};

double seconds_of(const std::function<void()>& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Runs all candidates in turn, so that what else the machine does meets all of them.
std::vector<Timing> medians(const std::vector<Candidate>& candidates) {
  std::vector<std::vector<double>> seconds(candidates.size());
  for (int round = -1; round < kRounds; ++round) {  // the first one warms up
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const double taken = seconds_of(candidates[i].run);
      if (round >= 0) seconds[i].push_back(taken);
    }
  }
  std::vector<Timing> timings;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    std::nth_element(seconds[i].begin(), seconds[i].begin() + kRounds / 2, seconds[i].end());
    timings.push_back({candidates[i].name, seconds[i][kRounds / 2]});
  }
  return timings;
}

CodecTimings timed(const Work& work, std::vector<Candidate> candidates, bool from_dense) {
  const std::size_t cases = candidates.size();
  candidates.push_back({"pass", [&] { work.pass(from_dense, false, 0); }});
  candidates.push_back({"pass, prefetching", [&] { work.pass(from_dense, false, kAhead); }});
  candidates.push_back({"pass, streaming stores", [&] { work.pass(from_dense, true, 0); }});
  candidates.push_back({"pass, prefetching, streaming stores", [&] { work.pass(from_dense, true, kAhead); }});
  const std::vector<Timing> timings = medians(candidates);
  const auto first_limit = timings.begin() + static_cast<std::ptrdiff_t>(cases);
  return {
      static_cast<double>(work.dense_bytes()), {timings.begin(), first_limit}, {first_limit, timings.end()}};
}

}  // namespace

const Timing& CodecTimings::limit() const noexcept {
  return *std::min_element(limits.begin(), limits.end(),
                           [](const Timing& a, const Timing& b) { return a.seconds < b.seconds; });
}

CodecTimings time_quantize(const CodecBench& bench) {
  const Work work(bench);
  return timed(work,
               {{"quantize", [&] { work.quantize(false); }},
                {"quantize, with statistics", [&] { work.quantize(true); }}},
               true);
}

CodecTimings time_dequantize(const CodecBench& bench) {
  const Work work(bench);
  work.quantize(false);
  return timed(work, {{"dequantize", [&] { work.dequantize(); }}}, false);
}

}  // namespace mxfp4::cli
