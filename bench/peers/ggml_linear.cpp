// ggml_linear ROWS COLS TOKENS THREADS COPIES 0|1: seconds of one ggml_mul_mat of MXFP4 weights with f32
// activations on ggml's CPU backend, median over rounds that each take another copy of the weights; 1:
// repacked for it, as llama.cpp does where it can. Prints "SECONDS RELATIVE_ERROR", or nothing where ggml
// does not repack such weights.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

namespace {

ggml_backend_buffer_type_t repacking_buffer_type() {
  ggml_backend_dev_t device = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
  const auto extra_types = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
      ggml_backend_reg_get_proc_address(ggml_backend_cpu_reg(), "ggml_backend_dev_get_extra_bufts"));
  for (auto type = extra_types(device); type != nullptr && *type != nullptr; ++type) {
    if (std::string_view(ggml_backend_buft_name(*type)) == "CPU_REPACK") return *type;
  }
  return nullptr;
}

std::vector<float> gaussian(std::size_t count, float sigma, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> values(count);
  for (float& x : values) x = normal(random);
  return values;
}

double seconds_of(ggml_backend_t backend, ggml_cgraph* graph) {
  const auto begin = std::chrono::steady_clock::now();
  if (ggml_backend_graph_compute(backend, graph) != GGML_STATUS_SUCCESS) std::exit(1);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Root of the mean square, over some rows of the last token, of (y - ref) / sum |w * x|.
double relative_error(const std::vector<std::uint8_t>& quantized, const std::vector<float>& x,
                      const std::vector<float>& y, std::size_t rows, std::size_t columns) {
  const std::size_t row_bytes = ggml_row_size(GGML_TYPE_MXFP4, static_cast<std::int64_t>(columns));
  const float* const token = x.data() + x.size() - columns;
  std::vector<float> w(columns);
  double squares = 0, count = 0;
  for (std::size_t row = 0; row < rows; row += (rows + 63) / 64, ++count) {
    ggml_get_type_traits(GGML_TYPE_MXFP4)
        ->to_float(quantized.data() + row * row_bytes, w.data(), static_cast<std::int64_t>(columns));
    double sum = 0, magnitude = 0;
    for (std::size_t k = 0; k < columns; ++k) {
      sum += double{w[k]} * double{token[k]};
      magnitude += std::abs(double{w[k]} * double{token[k]});
    }
    const double error = (double{y[y.size() - rows + row]} - sum) / magnitude;
    squares += error * error;
  }
  return std::sqrt(squares / count);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const auto number = [argv](int i) { return static_cast<std::size_t>(std::atoll(argv[i])); };
  const std::size_t rows = number(1), columns = number(2), tokens = number(3), copies = number(5);
  const auto k = static_cast<std::int64_t>(columns), n = static_cast<std::int64_t>(rows),
             t = static_cast<std::int64_t>(tokens);

  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);  // it tells of every weight
  ggml_backend_t backend = ggml_backend_cpu_init();
  ggml_backend_cpu_set_n_threads(backend, std::atoi(argv[4]));
  const bool repack = number(6) != 0;
  ggml_backend_buffer_type_t type = repack ? repacking_buffer_type() : ggml_backend_cpu_buffer_type();
  if (type == nullptr) return 0;

  const ggml_init_params no_data = {
      (copies * 8 + 64) * ggml_tensor_overhead() + copies * ggml_graph_overhead(), nullptr, true};
  ggml_context* const weights = ggml_init(no_data);
  for (std::size_t i = 0; i < copies; ++i) ggml_new_tensor_2d(weights, GGML_TYPE_MXFP4, k, n);
  if (ggml_backend_alloc_ctx_tensors_from_buft(weights, type) == nullptr) return 1;

  // A few rows over and over: their values do not matter for the time.
  constexpr std::size_t kDistinctRows = 61;
  const std::vector<float> dense = gaussian(kDistinctRows * columns, 0.02f, 1);
  const std::size_t row_bytes = ggml_row_size(GGML_TYPE_MXFP4, k);
  std::vector<std::uint8_t> quantized(std::max(rows, kDistinctRows) * row_bytes);
  ggml_quantize_chunk(GGML_TYPE_MXFP4, dense.data(), quantized.data(), 0, kDistinctRows, k, nullptr);
  quantized.resize(rows * row_bytes);
  for (std::size_t row = kDistinctRows; row < rows; ++row) {
    std::copy_n(quantized.begin() + static_cast<std::ptrdiff_t>(row % kDistinctRows * row_bytes), row_bytes,
                quantized.begin() + static_cast<std::ptrdiff_t>(row * row_bytes));
  }
  for (ggml_tensor* w = ggml_get_first_tensor(weights); w != nullptr; w = ggml_get_next_tensor(weights, w)) {
    if (repack && w->extra == nullptr) return 0;
    ggml_backend_tensor_set(w, quantized.data(), 0, quantized.size());
  }

  ggml_context* const work = ggml_init(no_data);
  ggml_tensor* const x = ggml_new_tensor_2d(work, GGML_TYPE_F32, k, t);
  ggml_tensor* const y = ggml_new_tensor_2d(work, GGML_TYPE_F32, n, t);
  if (ggml_backend_alloc_ctx_tensors_from_buft(work, ggml_backend_cpu_buffer_type()) == nullptr) return 1;
  const std::vector<float> activations = gaussian(tokens * columns, 1.0f, 2);
  ggml_backend_tensor_set(x, activations.data(), 0, activations.size() * sizeof(float));

  std::vector<ggml_cgraph*> graphs;
  for (ggml_tensor* w = ggml_get_first_tensor(weights); w != nullptr; w = ggml_get_next_tensor(weights, w)) {
    ggml_tensor* const product = ggml_mul_mat(work, w, x);
    product->data = y->data;
    product->buffer = y->buffer;
    graphs.push_back(ggml_new_graph_custom(work, 8, false));
    ggml_build_forward_expand(graphs.back(), product);
  }

  seconds_of(backend, graphs.front());  // warms up
  const double one = seconds_of(backend, graphs.back());
  const auto rounds = static_cast<std::size_t>(std::clamp(1.0 / one, 15.0, 1000.0));
  std::vector<double> seconds;
  for (std::size_t i = 0; i < rounds; ++i) seconds.push_back(seconds_of(backend, graphs[i % copies]));
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(rounds / 2), seconds.end());

  std::vector<float> out(rows * tokens);
  ggml_backend_tensor_get(y, out.data(), 0, out.size() * sizeof(float));
  std::printf("%.9f %.3g\n", seconds[rounds / 2], relative_error(quantized, activations, out, rows, columns));
}
