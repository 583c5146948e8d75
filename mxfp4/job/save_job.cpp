#include "mxfp4/job/save_job.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/checkpoint/experts_internal.h"
#include "mxfp4/checkpoint/selection.h"
#include "mxfp4/job/parts.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/job/stream.h"

namespace mxfp4::job {
namespace {

constexpr std::string_view kWeight = ".weight", kLinear = "linear";

/// Whether a reader gives a quantised weight this name again. `linear` notes names that have no ".weight".
bool keeps_name(const Convention& convention, const std::string& name, const Shape& shape) {
  if (convention.name == kLinear) return true;
  if (convention.code_shape == CodeShape::blocks) return !name.ends_with(kWeight);
  return name.ends_with(kWeight) || (shape.size() == 3 && parse_expert_name(name));
}

/// Bytes as a tensor of their own.
Part bytes_part(std::string name, Dtype dtype, Shape shape, const std::uint8_t* bytes, std::int64_t size) {
  const StoredTensor stored{
      {}, dtype, shape, {reinterpret_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)}};
  return copy_part(std::move(name), stored, nullptr);
}

class Saver {
 public:
  Saver(const SaveRequest& request, const Convention& convention)
      : request_(request), convention_(convention) {}

  void add(const TensorToSave& tensor) {
    tensor.quantized ? add_quantized(tensor.name, *tensor.quantized) : add_dense(tensor);
  }

  Output finish(bool directory) {
    if (!bare_names_.empty()) output_.metadata[kBareNamesKey] = nlohmann::json(bare_names_).dump();
    if (directory) {
      if (any_quantized_) {
        output_.texts = convention_.texts({request_.config, left_alone_});
      } else if (!request_.config.empty()) {
        output_.texts["config.json"] = request_.config;
      }
    }
    return std::move(output_);
  }

 private:
  void add_quantized(const std::string& name, const Mxfp4View& view) {
    check(name, view);
    std::string module = name;
    if (module.ends_with(kWeight)) {
      module.resize(module.size() - kWeight.size());
    } else if (convention_.name == kLinear) {
      bare_names_.push_back(name);  // or a reader would take it for name.weight
    }
    Shape scales = view.shape;
    scales.back() /= kBlockSize;
    output_.parts.push_back(bytes_part(module + convention_.codes_suffix, convention_.codes_dtype,
                                       convention_.shape_of_codes(view.shape), view.codes,
                                       view.code_bytes()));
    output_.parts.push_back(bytes_part(module + convention_.scales_suffix, convention_.scales_dtype, scales,
                                       view.scales, view.scale_bytes()));
    any_quantized_ = true;
  }

  void check(const std::string& name, const Mxfp4View& view) const {
    if (view.block_size != kBlockSize) {
      fail(ErrorCode::unsupported, "'{}': blocks of {}; a file in MXFP4 has blocks of {}", name,
           view.block_size, kBlockSize);
    }
    if (view.columns() % kBlockSize != 0) {
      fail(ErrorCode::unsupported, "'{}': K = {} is not a multiple of {}, and {} cannot say so", name,
           view.columns(), kBlockSize, convention_.name);
    }
    if (convention_.experts == ExpertLayout::single && view.shape.size() != 2) {
      fail(ErrorCode::unsupported, "'{}': {} holds matrices only, not shape {}", name, convention_.name,
           to_string(view.shape));
    }
    if (!keeps_name(convention_, name, view.shape)) {
      const bool has = name.ends_with(kWeight);
      fail(ErrorCode::unsupported, "'{}': would be read as '{}', as {} names weights; {} keeps every name",
           name, has ? name.substr(0, name.size() - kWeight.size()) : name + std::string(kWeight),
           convention_.name, kLinear);
    }
  }

  void add_dense(const TensorToSave& tensor) {
    Weight weight;
    weight.name = tensor.name;
    weight.dense = tensor.dense;
    if (is_linear_weight(weight)) left_alone_.emplace_back(weight.module());
    // gpt-oss holds dense experts as [E, K, N].
    const bool turned =
        &convention_ == find_convention("gpt-oss") && weight.dense.rank() == 3 &&
        (tensor.name.ends_with(".experts.gate_up_proj") || tensor.name.ends_with(".experts.down_proj"));
    if (turned) weight.dense = weight.dense.transposed(1, 2);
    output_.parts.push_back(copy_part(tensor.name, Source{weight.dense, nullptr, nullptr}));
  }

  const SaveRequest& request_;
  const Convention& convention_;
  Output output_;
  std::vector<std::string> left_alone_, bare_names_;
  bool any_quantized_ = false;
};

}  // namespace

SaveReport run_save(const SaveRequest& request) {
  const Convention* const convention = find_convention(request.convention);
  if (convention == nullptr || convention->own_files) {
    fail(ErrorCode::invalid_argument, "no convention '{}'; there are {}", request.convention,
         convention_names());
  }
  const bool directory = request.out.extension() != ".safetensors";
  check_output({}, request.out, directory, request.options.overwrite);
  Saver saver(request, *convention);
  std::vector<const TensorToSave*> in_order;  // so that the order in which they are given changes no shard
  for (const TensorToSave& tensor : request.tensors) in_order.push_back(&tensor);
  std::stable_sort(in_order.begin(), in_order.end(), [](const TensorToSave* a, const TensorToSave* b) {
    return natural_less(a->name, b->name);
  });
  for (const TensorToSave* const tensor : in_order) saver.add(*tensor);
  return {write_output(saver.finish(directory), request.out, directory, request.options).files};
}

}  // namespace mxfp4::job
