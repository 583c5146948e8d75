#include <algorithm>
#include <functional>
#include <random>

#include <fmt/format.h>

#include "mxfp4/base/parallel.h"
#include "mxfp4/cli/bench_kinds.h"
#include "mxfp4/cli/bench_turns.h"
#include "mxfp4/kernel/device.h"
#include "mxfp4/kernel/ops.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::cli {
namespace {

constexpr std::size_t kAhead = 4096;  // bytes, of a pass that prefetches
constexpr std::int64_t kRows = 8192, kColumns = 8192;

/// A matrix, its dense and its quantised side, and threads that take equal runs of its rows.
class Work {
 public:
  explicit Work(const BenchOptions& options)
      : threads_(options.threads),
        recipe_(options.recipe),
        dtype_name_(options.dtype.empty() ? "bf16" : options.dtype),
        dtype_(dense_dtype(dtype_name_)),
        element_bytes_(static_cast<std::size_t>(bits_of(dtype_)) / 8),
        rows_(static_cast<std::size_t>(options.rows == 0 ? kRows : options.rows)),
        columns_(static_cast<std::size_t>(options.columns == 0 ? kColumns : options.columns)),
        blocks_((columns_ + 31) / 32),
        dense_(rows_ * columns_ * element_bytes_),
        packed_(rows_ * blocks_ * 17) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    std::vector<float> period((1 << 20) - 32);  // of whole blocks, and of no power of two
    for (float& x : period) x = normal(random);
    for (std::size_t i = 0; i < rows_ * columns_; ++i) {
      write_element(period[i % period.size()], dtype_, dense_.data() + i * element_bytes_);
    }
  }

  double dense_bytes() const noexcept { return static_cast<double>(rows_ * columns_ * element_bytes_); }
  const std::string& dtype_name() const noexcept { return dtype_name_; }
  Json json() const {
    return {{"case", ""},
            {"dtype", dtype_name_},
            {"rule", info(recipe_.scale).name},
            {"rows", rows_},
            {"cols", columns_},
            {"threads", threads_},
            {"isa", to_string(default_isa())},
            {"device", to_string(default_device())}};
  }

  void quantize(bool with_statistics) const {
    std::vector<ErrorStats> stats(static_cast<std::size_t>(threads_));
    over_rows([&](std::size_t part, std::size_t first, std::size_t count) {
      kernel::QuantizeArgs args;
      args.x = dense_.data() + first * columns_ * element_bytes_;
      args.dtype = dtype_;
      args.rows = count;
      args.columns = columns_;
      args.recipe = recipe_;
      args.codes = codes(first);
      args.scales = scales(first);
      args.stats = with_statistics ? &stats[part] : nullptr;
      args.streaming = true;
      kernel::quantize_on(context(), args);
    });
  }

  void dequantize() const {
    over_rows([&](std::size_t, std::size_t first, std::size_t count) {
      kernel::DequantizeArgs args;
      args.codes = codes(first);
      args.scales = scales(first);
      args.rows = count;
      args.columns = columns_;
      args.dtype = dtype_;
      args.out = dense_.data() + first * columns_ * element_bytes_;
      args.streaming = true;
      kernel::dequantize_on(context(), args);
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
  Context context() const { return {threads_, default_isa(), default_device()}; }

  std::uint8_t* codes(std::size_t row) const noexcept { return packed_.bytes() + row * blocks_ * 16; }
  std::uint8_t* scales(std::size_t row) const noexcept {
    return packed_.bytes() + rows_ * blocks_ * 16 + row * blocks_;
  }

  void over_rows(const std::function<void(std::size_t, std::size_t, std::size_t)>& body) const {
    const auto parts = static_cast<std::size_t>(threads_);
    parallel_for(context(), parts, [&](int, std::size_t part) {
      const std::size_t first = rows_ * part / parts;
      body(part, first, rows_ * (part + 1) / parts - first);
    });
  }

  int threads_;
  Recipe recipe_;
  std::string dtype_name_;
  Dtype dtype_;
  std::size_t element_bytes_, rows_, columns_, blocks_;
  Buffer dense_, packed_;
};

BenchReport report_on(const Work& work, std::vector<Candidate> candidates, bool from_dense) {
  const std::size_t cases = candidates.size();
  for (const bool streaming : {false, true}) {
    for (const std::size_t ahead : {std::size_t{0}, kAhead}) {
      candidates.push_back(
          {fmt::format("pass{}{}", ahead == 0 ? "" : ", prefetching", streaming ? ", streaming stores" : ""),
           work.dense_bytes(),
           [&work, from_dense, streaming, ahead] { work.pass(from_dense, streaming, ahead); }});
    }
  }
  const std::vector<Timed> timed = time_in_turns(candidates);
  const Timed& limit =
      *std::min_element(timed.begin() + static_cast<std::ptrdiff_t>(cases), timed.end(),
                        [](const Timed& a, const Timed& b) { return a.median() < b.median(); });

  Json results = Json::array(), limits = Json::object();
  Table table({{"on " + computed_on()},
               {fmt::format("GB/s of {}", work.dtype_name()), Align::right},
               {"of the limit", Align::right}});
  for (std::size_t i = 0; i < timed.size(); ++i) {
    const double gb_per_s = timed[i].rate() / 1e9, percent = 100 * limit.median() / timed[i].median();
    table.row({{timed[i].name}, {fmt::format("{:.2f}", gb_per_s)}, {fmt::format("{:.0f} %", percent)}});
    if (i >= cases) {
      limits[timed[i].name] = gb_per_s;
      continue;
    }
    Json result = work.json();
    result["case"] = timed[i].name;
    result["seconds"] = timed[i].median();
    result["gb_per_s"] = gb_per_s;
    result["limit"] = {{"name", limit.name}, {"value", limit.rate() / 1e9}};
    result["percent_of_limit"] = percent;
    results.push_back(std::move(result));
  }
  return {{{"results", results}, {"limits", limits}}, std::move(table), warnings_of_device()};
}

}  // namespace

BenchReport bench_quantize(const BenchOptions& options) {
  const Work work(options);
  return report_on(work,
                   {{"quantize", work.dense_bytes(), [&] { work.quantize(false); }},
                    {"quantize, with statistics", work.dense_bytes(), [&] { work.quantize(true); }}},
                   true);
}

BenchReport bench_dequantize(const BenchOptions& options) {
  const Work work(options);
  work.quantize(false);
  return report_on(work, {{"dequantize", work.dense_bytes(), [&] { work.dequantize(); }}}, false);
}

}  // namespace mxfp4::cli
