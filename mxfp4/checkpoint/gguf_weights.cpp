#include <algorithm>
#include <cstring>
#include <set>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/gguf_files_internal.h"
#include "mxfp4/checkpoint/gguf_names.h"
#include "mxfp4/checkpoint/weights_internal.h"
#include "mxfp4/codec/float16.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kBlockBytes = 17;  // a scale byte, then 16 bytes of codes
constexpr std::string_view kMxfp4 = "MXFP4", kQ8 = "Q8_0";
constexpr std::int64_t kQ8Bytes = 34;  // an F16 scale, then 32 signed bytes

class Q8 final : public OtherCodes {
 public:
  void read(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
            float* out) const override {
    const std::int64_t row_bytes = shape.back() / kBlockSize * kQ8Bytes;
    for (; row < row_end; ++row) {
      const std::byte* const blocks = stored[0]->bytes.data() + row * row_bytes;
      for (std::int64_t k = column; k < column_end; ++k) {
        const std::byte* const block = blocks + k / kBlockSize * kQ8Bytes;
        std::uint16_t scale;
        std::memcpy(&scale, block, sizeof scale);
        const auto code = static_cast<std::int8_t>(block[2 + k % kBlockSize]);
        *out++ = f16_to_f32(scale) * static_cast<float>(code);  // exact: 11 and 7 bits
      }
    }
  }
};

OtherCodesPtr q8_0(const StoredTensor& tensor) {
  auto weight = std::make_shared<Q8>();
  weight->name = "Q8_0";
  weight->shape = tensor.shape;
  weight->shape.back() = weight->shape.back() / kQ8Bytes * kBlockSize;
  weight->stored = {&tensor};
  return weight;
}

StoredBlocks blocks_of(const StoredTensor& tensor) {
  StoredBlocks blocks;
  blocks.scales = reinterpret_cast<const std::uint8_t*>(tensor.bytes.data());
  blocks.codes = blocks.scales + 1;
  blocks.shape = tensor.shape;
  blocks.shape.back() = blocks.shape.back() / kBlockBytes * kBlockSize;
  blocks.code_pitch = blocks.scale_pitch = kBlockBytes;
  blocks.order = NibbleOrder::split16;
  return blocks;
}

}  // namespace

std::vector<Weight> read_gguf_weights(const ModelFiles& files, const ModelConfig& config,
                                      Problems* problems) {
  const LlamaCppArchitecture* const architecture = llama_cpp_architecture_of(config.model_type);
  std::vector<Weight> weights;
  for (const StoredTensor* const tensor : files.tensors()) {
    Weight weight;
    if (architecture != nullptr) weight.name = from_llama_cpp_name(*architecture, tensor->name);
    if (weight.name.empty()) weight.name = tensor->name;
    weight.stored = tensor;
    if (tensor->type == kMxfp4) {
      weight.scales = tensor;
      weight.quantized = blocks_of(*tensor);
    } else if (tensor->type == kQ8) {
      weight.other = q8_0(*tensor);
    } else {
      weight.dense = dense_view(tensor->bytes.data(), tensor->dtype, tensor->shape);
    }
    weights.push_back(std::move(weight));
  }
  sort_weights(files, weights, problems);
  return weights;
}

const Convention& gguf_convention() noexcept {
  static const Convention convention = [] {
    Convention made{};
    made.name = "gguf";
    made.codes_suffix = made.scales_suffix = "";
    made.codes_dtype = made.scales_dtype = Dtype::u8;
    made.experts = ExpertLayout::apart;
    made.description = "GGUF, as llama.cpp loads it";
    made.own_files = true;
    return made;
  }();
  return convention;
}

std::string foreign_gguf_types(const ModelFiles& files) {
  std::set<std::string_view> types;
  for (const StoredTensor* const tensor : files.tensors()) {
    if (!tensor->type.empty() && tensor->type != kMxfp4 && tensor->type != kQ8) types.insert(tensor->type);
  }
  return types.empty() ? "" : fmt::format("gguf with {}", fmt::join(types, ", "));
}

}  // namespace mxfp4
