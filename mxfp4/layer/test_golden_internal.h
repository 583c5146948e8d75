// What other projects computed, as tests/data/models holds it.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "mxfp4/container/safetensors.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::test {

/// Arrays of a safetensors file by name.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path) : file_(safetensors::open(path)) {}

  /// Null if there is none.
  const StoredTensor* find(const std::string& name) const {
    for (const StoredTensor& tensor : file_->tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
  bool has(const std::string& name) const { return find(name) != nullptr; }
  DenseView view(const std::string& name) const {
    const StoredTensor& tensor = *find(name);
    return dense_view(tensor.bytes.data(), tensor.dtype, tensor.shape);
  }
  std::vector<float> floats(const std::string& name) const {
    const DenseView all = view(name);
    std::vector<float> values(static_cast<std::size_t>(all.elements()));
    copy_rows_f32(all, 0, all.elements() / all.shape.back(), values.data());
    return values;
  }
  std::vector<std::int32_t> ids(const std::string& name) const {
    const DenseView all = view(name);
    std::vector<std::int32_t> values(static_cast<std::size_t>(all.elements()));
    copy_rows(all, 0, all.elements() / all.shape.back(), values.data());
    return values;
  }

 private:
  TensorFilePtr file_;
};

/// ||y - expected|| / ||expected||; NaN if they have different sizes.
inline double distance(const std::vector<float>& y, const std::vector<float>& expected) {
  if (y.size() != expected.size()) return std::nan("");
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    error += std::pow(static_cast<double>(y[i]) - static_cast<double>(expected[i]), 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(error / norm);
}

}  // namespace mxfp4::test
