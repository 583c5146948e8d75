// Reading a weight: contiguous, and transposed as gpt-oss stores its experts.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mxfp4/tensor/view.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kRows = 5760, kColumns = 2880;
constexpr std::int64_t kUnit = 364;  // rows that a job reads at a time

// Arguments: dtype, whether the source is transposed, columns, rows at a time.
void run(benchmark::State& state, bool to_f32) {
  const auto dtype = static_cast<Dtype>(state.range(0));
  const bool transposed = state.range(1) != 0;
  const std::int64_t columns = state.range(2), unit = state.range(3);
  const std::size_t bytes = static_cast<std::size_t>(kRows * columns * bits_of(dtype) / 8);
  const std::vector<std::byte> source(bytes, std::byte{1});
  std::vector<float> out(static_cast<std::size_t>(unit * columns));
  const DenseView view = transposed ? dense_view(source.data(), dtype, {columns, kRows}).transposed(0, 1)
                                    : dense_view(source.data(), dtype, {kRows, columns});
  for (auto _ : state) {
    for (std::int64_t row = 0; row < kRows; row += unit) {
      const std::int64_t end = std::min(row + unit, kRows);
      to_f32 ? copy_rows_f32(view, row, end, out.data()) : copy_rows(view, row, end, out.data());
      benchmark::ClobberMemory();
    }
  }
  state.SetLabel(std::string(to_string(dtype)) + (transposed ? " transposed" : ""));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}

void cases(benchmark::internal::Benchmark* benchmark) {
  for (const Dtype dtype : {Dtype::bf16, Dtype::f32}) {
    for (const int transposed : {0, 1}) {
      benchmark->Args({static_cast<int>(dtype), transposed, kColumns, kUnit});
    }
  }
  benchmark->Args({static_cast<int>(Dtype::bf16), 1, kColumns, kRows});
  benchmark->Args({static_cast<int>(Dtype::bf16), 1, 4096, 256});
}

BENCHMARK_CAPTURE(run, copy_rows, false)->Apply(cases);
BENCHMARK_CAPTURE(run, copy_rows_f32, true)->Apply(cases);

}  // namespace
}  // namespace mxfp4

BENCHMARK_MAIN();
