// Input bytes per second and core: quantise by rule, dtype and instruction set, dequantise, and memcpy for
// scale.
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4 {
namespace {

constexpr std::size_t kRows = 4096, kColumns = 4096, kElements = kRows * kColumns;

std::size_t bytes_of(Dtype dtype) {
  return kElements * static_cast<std::size_t>(bits_of(dtype)) / 8;
}

/// Gaussian weights as they stand in a checkpoint; a period of a million elements is repeated.
const std::vector<std::byte>& weights(Dtype dtype) {
  static std::vector<std::byte> made[2];
  std::vector<std::byte>& bytes = made[dtype == Dtype::f32];
  if (bytes.empty()) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    std::vector<float> period(1 << 20);
    for (float& x : period) x = normal(random);
    bytes.resize(bytes_of(dtype));
    for (std::size_t i = 0; i < kElements; ++i) {
      const float x = period[i % period.size()];
      const std::uint16_t narrow = f32_to_bf16(x);
      const std::size_t size = dtype == Dtype::f32 ? sizeof x : sizeof narrow;
      std::memcpy(bytes.data() + i * size, dtype == Dtype::f32 ? static_cast<const void*>(&x) : &narrow,
                  size);
    }
  }
  return bytes;
}

void report(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * static_cast<std::int64_t>(state.iterations()));
}

void quantize_rows(benchmark::State& state, Isa isa, ScaleRule rule, Dtype dtype, bool with_stats) {
  std::vector<std::uint8_t> codes(kElements / 2), scales(kElements / 32);
  ErrorStats stats;
  kernel::QuantizeArgs args{weights(dtype).data(), dtype, kRows, kColumns};
  args.recipe.scale = rule;
  args.codes = codes.data();
  args.scales = scales.data();
  args.stats = with_stats ? &stats : nullptr;
  for (auto _ : state) benchmark::DoNotOptimize(kernel::cpu_ops(isa).quantize(args));
  report(state, bytes_of(dtype));
}

/// Counts the bytes written.
void dequantize_rows(benchmark::State& state, Isa isa, Dtype dtype) {
  std::vector<std::uint8_t> codes(kElements / 2), scales(kElements / 32);
  kernel::QuantizeArgs made{weights(Dtype::bf16).data(), Dtype::bf16, kRows, kColumns};
  made.codes = codes.data();
  made.scales = scales.data();
  kernel::cpu_ops(isa).quantize(made);
  std::vector<std::byte> out(bytes_of(dtype));
  kernel::DequantizeArgs args{codes.data(), scales.data(), kRows, kColumns};
  args.dtype = dtype;
  args.out = out.data();
  for (auto _ : state) {
    kernel::cpu_ops(isa).dequantize(args);
    benchmark::ClobberMemory();
  }
  report(state, bytes_of(dtype));
}

void copy(benchmark::State& state, Dtype dtype) {
  const std::vector<std::byte>& from = weights(dtype);
  std::vector<std::byte> to(from.size());
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size());
    benchmark::ClobberMemory();
  }
  report(state, from.size());
}

template <class Function, class... Args>
void add(const std::string& name, Function function, Args... args) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    function(state, args...);
  })->Unit(benchmark::kMillisecond);
}

void add_all() {
  for (const Dtype dtype : {Dtype::bf16, Dtype::f32}) {
    const std::string of = std::string("/") + to_string(dtype);
    add("memcpy" + of, copy, dtype);
    for (const Isa isa : built_isas()) {
      if (!supported(isa)) continue;
      const std::string on = of + "/" + to_string(isa);
      for (const ScaleRuleInfo& rule : kScaleRules) {
        add("quantize" + on + "/" + rule.name, quantize_rows, isa, rule.rule, dtype, false);
        add("quantize" + on + "/" + rule.name + "/stats", quantize_rows, isa, rule.rule, dtype, true);
      }
      add("dequantize" + on, dequantize_rows, isa, dtype);
    }
  }
}

}  // namespace
}  // namespace mxfp4

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  mxfp4::add_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
