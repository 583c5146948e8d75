#include "mxfp4/job/load_linear.h"

#include <string>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

const Weight& find_weight(const Checkpoint& checkpoint, std::string_view name) {
  for (const std::string& candidate : {std::string(name), std::string(name) + ".weight"}) {
    if (const Weight* const weight = checkpoint.find(candidate)) return *weight;
  }
  fail(ErrorCode::invalid_argument, "{}: there is no weight '{}'", checkpoint.files.path.string(), name);
}

std::vector<float> read_bias(const Checkpoint& checkpoint, const Weight& weight) {
  const Weight* const bias = checkpoint.find(std::string(weight.module()) + ".bias");
  if (bias == nullptr) return {};
  std::vector<float> values(static_cast<std::size_t>(bias->dense.elements()));
  copy_rows_f32(bias->dense, 0, 1, values.data());
  return values;
}

bool contains(std::span<const std::byte> all, std::span<const std::byte> part) noexcept {
  return part.data() >= all.data() && part.data() + part.size() <= all.data() + all.size();
}

}  // namespace

Linear load_linear(const Checkpoint& checkpoint, std::string_view name, LayerOptions options) {
  check_readable(checkpoint);
  const Weight& weight = find_weight(checkpoint, name);
  if (!weight.is_quantized()) {
    fail(ErrorCode::unsupported, "{}: '{}' is {}, not MXFP4", checkpoint.files.path.string(), weight.name,
         to_string(weight.stored->dtype));
  }
  if (weight.quantized.shape.size() != 2) {
    fail(ErrorCode::unsupported, "{}: '{}' has shape {}: a stack of experts, not a Linear layer",
         checkpoint.files.path.string(), weight.name, weight.quantized.shape);
  }
  const MappedFile* const codes = map_of(checkpoint.files, *weight.stored);
  const MappedFile* const scales = map_of(checkpoint.files, *weight.scales);
  options.done_with = [&, next = std::move(options.done_with)](std::span<const std::uint8_t> piece) {
    const std::span<const std::byte> bytes = std::as_bytes(piece);
    for (const MappedFile* const map : {codes, scales}) {
      if (map != nullptr && contains(map->bytes(), bytes)) map->done_with(bytes);
    }
    if (next) next(piece);
  };
  return Linear(weight.quantized, read_bias(checkpoint, weight), options);
}

}  // namespace mxfp4::job
