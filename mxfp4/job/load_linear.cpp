#include "mxfp4/job/load_linear.h"

#include <string>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/give_back_internal.h"

namespace mxfp4::job {

namespace {

std::vector<float> read_bias(const Checkpoint& checkpoint, const Weight& weight) {
  const Weight* const bias = checkpoint.find(std::string(weight.module()) + ".bias");
  if (bias == nullptr) return {};
  const Dtype dtype = bias->stored->dtype;
  const Shape shape = {weight.quantized.shape[0]};
  const bool floats = dtype == Dtype::f32 || dtype == Dtype::bf16 || dtype == Dtype::f16;
  if (bias->is_quantized() || !floats || bias->dense.shape != shape) {
    fail(ErrorCode::unsupported, "{}: '{}' is {} {}; the bias of '{}' would be F32, BF16 or F16 {}",
         checkpoint.files.path.string(), bias->name, to_string(dtype), bias->stored->shape, weight.name,
         shape);
  }
  std::vector<float> values(static_cast<std::size_t>(shape[0]));
  copy_rows_f32(bias->dense, 0, 1, values.data());
  return values;
}

}  // namespace

Linear load_linear(const Checkpoint& checkpoint, std::string_view name, LayerOptions options) {
  check_readable(checkpoint);
  const std::string with_suffix = std::string(name) + ".weight";
  const bool suffix =
      checkpoint.find(std::string(name)) == nullptr && checkpoint.find(with_suffix) != nullptr;
  const Weight& weight = find_mxfp4(checkpoint, suffix ? with_suffix : std::string(name), 2);
  return Linear(weight.quantized, read_bias(checkpoint, weight), giving_back(checkpoint, std::move(options)));
}

}  // namespace mxfp4::job
