#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/job/give_back_internal.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4::job {
namespace {

bool contains(std::span<const std::byte> all, std::span<const std::byte> part) noexcept {
  return part.data() >= all.data() && part.data() + part.size() <= all.data() + all.size();
}

void give_back(const Checkpoint& checkpoint, std::span<const std::byte> bytes) {
  for (const auto& file : checkpoint.files.files) {
    if (contains(file->map.bytes(), bytes)) file->map.done_with(bytes);
  }
}

}  // namespace

LayerOptions giving_back(const Checkpoint& checkpoint, LayerOptions options) {
  options.done_with = [&checkpoint,
                       next = std::move(options.done_with)](std::span<const std::uint8_t> piece) {
    give_back(checkpoint, std::as_bytes(piece));
    if (next) next(piece);
  };
  return options;
}

const Weight& find_mxfp4(const Checkpoint& checkpoint, const std::string& name, int rank) {
  const std::string where = checkpoint.files.path.string();
  const Weight* const weight = checkpoint.find(name);
  if (weight == nullptr) fail(ErrorCode::invalid_argument, "{}: there is no weight '{}'", where, name);
  if (!weight->is_quantized()) {
    fail(ErrorCode::unsupported, "{}: '{}' is {}, not MXFP4", where, weight->name,
         to_string(weight->stored->dtype));
  }
  if (static_cast<int>(weight->quantized.shape.size()) != rank) {
    fail(ErrorCode::unsupported, "{}: '{}' has shape {}: {}", where, weight->name,
         to_string(weight->quantized.shape),
         rank == 2 ? "a stack of experts, not a Linear layer" : "no stack of experts");
  }
  return *weight;
}

Mxfp4View blocks_of(const Checkpoint& checkpoint, const Weight& weight, bool in_place,
                    std::vector<std::uint8_t>& copy) {
  const StoredBlocks& stored = weight.quantized;
  if (stored.is_plain()) return stored.view();
  if (in_place) {
    fail(
        ErrorCode::unsupported,
        "{}: '{}' cannot be used where it lies, codes and scales in turns; a layer that packs it copies them",
        checkpoint.files.path.string(), weight.name);
  }
  const std::int64_t code_bytes = stored.blocks() * (kBlockSize / 2), width = stored.blocks_per_row();
  copy.resize(static_cast<std::size_t>(code_bytes + stored.blocks()));
  std::uint8_t *const codes = copy.data(), *const scales = codes + code_bytes;
  parallel_for(Context(), static_cast<std::size_t>(stored.rows()), [&](int, std::size_t index) {
    const auto row = static_cast<std::int64_t>(index);
    copy_row(stored, row, codes + row * width * (kBlockSize / 2), scales + row * width);
  });
  give_back(checkpoint, weight.stored->bytes);
  return {codes, scales, stored.shape, kBlockSize};
}

const DenseView& dense_of(const Checkpoint& checkpoint, const Weight& weight) {
  const Dtype dtype = weight.stored->dtype;
  const bool floats = dtype == Dtype::f32 || dtype == Dtype::bf16 || dtype == Dtype::f16;
  if (floats && !weight.is_quantized()) return weight.dense;
  fail(ErrorCode::unsupported, "{}: '{}' is {}; F32, BF16 and F16 can be", checkpoint.files.path.string(),
       weight.name, weight.is_quantized() ? "MXFP4" : to_string(dtype));
}

DenseLinear dense_linear(const Checkpoint& checkpoint, const Weight& weight, const Weight* bias) {
  if (weight.shape().size() != 2) {
    fail(ErrorCode::unsupported, "{}: '{}' has shape {}: not a Linear layer", checkpoint.files.path.string(),
         weight.name, to_string(weight.shape()));
  }
  std::vector<float> values;
  DenseView view;
  if (weight.other != nullptr) {
    const Shape& shape = weight.other->shape;
    values.resize(static_cast<std::size_t>(element_count(shape)));
    weight.other->read(0, shape[0], 0, shape[1], values.data());
    view = dense_view(values.data(), Dtype::f32, shape);
  } else {
    view = dense_of(checkpoint, weight);
  }
  DenseLinear linear("linear", view, bias == nullptr ? DenseView() : dense_of(checkpoint, *bias));
  for (const StoredTensor* const tensor : weight.tensors()) give_back(checkpoint, tensor->bytes);
  return linear;
}

std::vector<float> vector_of(const Checkpoint& checkpoint, const Weight& weight, std::int64_t size) {
  const DenseView& view = weight.dense;
  const bool floats = view.dtype == Dtype::f32 || view.dtype == Dtype::bf16 || view.dtype == Dtype::f16;
  if (!floats || view.shape != Shape{size}) {
    fail(ErrorCode::unsupported, "{}: '{}' is {} {}; F32, BF16 or F16 [{}] can be",
         checkpoint.files.path.string(), weight.name, to_string(weight.stored->dtype),
         to_string(weight.stored->shape), size);
  }
  std::vector<float> values(static_cast<std::size_t>(size));
  copy_rows_f32(view, 0, 1, values.data());
  return values;
}

}  // namespace mxfp4::job
