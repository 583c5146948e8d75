#include <algorithm>
#include <set>

#include "mxfp4/checkpoint/experts_internal.h"
#include "mxfp4/checkpoint/json_internal.h"
#include "mxfp4/checkpoint/report_internal.h"
#include "mxfp4/checkpoint/uqff_files_internal.h"
#include "mxfp4/checkpoint/weights_internal.h"

namespace mxfp4 {
namespace {

constexpr std::string_view kBlocks = "_blocks", kPacked = "_packed";

// Dense names without ".weight" of weights that a `linear` file stores as {name}.blocks.
std::set<std::string> bare_names(const ModelFiles& files) {
  std::set<std::string> names;
  for (const TensorFilePtr& file : files.files) {
    const auto found = file->metadata.find(kBareNamesKey);
    if (found == file->metadata.end()) continue;
    const std::string where = file->map.path().native() + ": metadata '" + kBareNamesKey + "'";
    const nlohmann::json list = parse_json(found->second, where);
    const auto is_string = [](const nlohmann::json& name) { return name.is_string(); };
    if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_string)) {
      fail(ErrorCode::corrupt_file, "{}: not a list of names", where);
    }
    names.insert(list.begin(), list.end());
  }
  return names;
}

// From stored names to the names of dense weights.
class Names {
 public:
  Names(const ModelFiles& files, const Convention* convention) : convention_(convention) {
    if (is("linear")) bare_ = bare_names(files);
  }

  std::string of_quantized(const StoredTensor& codes, const StoredTensor& scales) const {
    std::string name = codes.name;
    name.resize(name.size() - std::string_view(convention_->codes_suffix).size());
    if (convention_->code_shape == CodeShape::blocks) return name;
    const bool experts = scales.shape.size() == 3 && parse_expert_name(name);
    return experts || (is("linear") && bare_.count(name) > 0) ? name : name + ".weight";
  }

  std::string of_dense(const StoredTensor& tensor) const {
    std::string name = tensor.name;
    if (is_saved_as_blocks(tensor)) {
      name.resize(name.size() - kBlocks.size());
    } else if ((is("linear") || is("mlx") || is("uqff")) && name.ends_with(".bias") &&
               tensor.shape.size() == 2) {
      std::string bias = name;
      bias[bias.rfind('.')] = '_';
      if (parse_expert_name(bias)) return bias;
    }
    return name;
  }

 private:
  bool is(std::string_view convention) const {
    return convention_ != nullptr && convention_->name == convention;
  }

  const Convention* convention_;
  std::set<std::string> bare_;
};

}  // namespace

void sort_weights(const ModelFiles& files, std::vector<Weight>& weights, Problems* problems) {
  const auto less = [](const Weight& a, const Weight& b) { return natural_less(a.name, b.name); };
  // Most names keep their places.
  if (!std::is_sorted(weights.begin(), weights.end(), less)) std::sort(weights.begin(), weights.end(), less);
  for (std::size_t i = 1; i < weights.size(); ++i) {
    if (weights[i - 1].name != weights[i].name) continue;
    const StoredTensor &one = *weights[i - 1].stored, &other = *weights[i].stored;
    report(problems, ProblemKind::extra, other.name,
           "weight '{}' is stored twice: as '{}' in {} and as '{}' in {}", weights[i].name, one.name,
           files.file_of(one), other.name, files.file_of(other));
  }
}

bool is_saved_as_blocks(const StoredTensor& tensor) {
  return is_dense_float(tensor.dtype) && tensor.shape.size() == 3 && tensor.name.ends_with(kBlocks) &&
         parse_expert_name(tensor.name.substr(0, tensor.name.size() - kBlocks.size()));
}

std::vector<Weight> read_weights(const ModelFiles& files, const Pairs& pairs, Problems* problems) {
  const Names names(files, pairs.convention);
  std::vector<Weight> weights;
  for (const StoredTensor* const tensor : files.tensors()) {
    if (pairs.scales.count(tensor) > 0 || pairs.parts_of_others.count(tensor) > 0) continue;
    if (is_uqff_note(*tensor)) continue;
    Weight weight;
    weight.stored = tensor;
    if (const auto pair = pairs.scales_of.find(tensor); pair != pairs.scales_of.end()) {
      weight.name = names.of_quantized(*tensor, *pair->second);
      weight.scales = pair->second;
      weight.quantized = blocks_of_pair(*tensor, *pair->second);
    } else if (const auto other = pairs.others.find(tensor); other != pairs.others.end()) {
      weight.name = tensor->name;
      if (weight.name.ends_with(kPacked)) weight.name.resize(weight.name.size() - kPacked.size());
      weight.other = other->second;
    } else {
      weight.name = names.of_dense(*tensor);
      if (bits_of(tensor->dtype) % 8 == 0) {
        weight.dense = dense_view(tensor->bytes.data(), tensor->dtype, tensor->shape);
      }
    }
    weights.push_back(std::move(weight));
  }
  sort_weights(files, weights, problems);
  return weights;
}

}  // namespace mxfp4
