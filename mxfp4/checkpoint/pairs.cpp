#include <algorithm>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/pairs_internal.h"
#include "mxfp4/checkpoint/report_internal.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kMaxColumns = std::int64_t{1} << 40;

// "model-00001-of-00003.safetensors: tensor 'x'"
std::string place(const ModelFiles& files, const StoredTensor& tensor) {
  return fmt::format("{}: tensor '{}'", files.file_of(tensor), tensor.name);
}

// The tensor that stands beside one under another suffix, or null. `tensor` ends with the first.
const StoredTensor* partner_of(const ModelFiles& files, const StoredTensor& tensor, std::string_view suffix,
                               std::string_view partner) {
  return files.find(tensor.name.substr(0, tensor.name.size() - suffix.size()) + std::string(partner));
}

bool same_tensors(const Convention& a, const Convention& b) {
  return std::string_view(a.codes_suffix) == b.codes_suffix &&
         std::string_view(a.scales_suffix) == b.scales_suffix && a.codes_dtype == b.codes_dtype &&
         a.scales_dtype == b.scales_dtype;
}

// Conventions that share names and dtypes are looked for once.
bool is_repeated(const Convention& convention) {
  const Convention* const first = conventions().data();
  return std::any_of(first, &convention,
                     [&](const Convention& other) { return same_tensors(other, convention); });
}

// MLX's other modes in words: 8 bits, or 4 with a scale for every 16 elements.
bool is_other_mode(const Convention& convention, const StoredTensor& codes, const StoredTensor& scales) {
  if (convention.code_shape != CodeShape::words || codes.shape.empty() || scales.shape.empty()) return false;
  const std::int64_t words = codes.shape.back(), all = scales.shape.back();
  return words == 2 * all || (all <= kMaxColumns && words == 8 * all);
}

// Which of the conventions that share names and dtypes it is: the codes' own dimension of 16 bytes tells, or
// the config. Else the first, and another that it may be.
void decide(const Convention& named, const StoredTensor& codes, const StoredTensor& scales,
            const ModelConfig& config, const Convention* wanted, Pairs& pairs) {
  const bool own_dimension = codes.shape.size() == scales.shape.size() + 1;
  std::vector<const Convention*> possible;
  for (const Convention& convention : conventions()) {
    if (!same_tensors(convention, named)) continue;
    if (own_dimension != (convention.code_shape == CodeShape::blocks)) continue;
    const bool is_told = convention.quant_method != nullptr && config.quant_method == convention.quant_method;
    if (&convention == wanted || is_told) {
      pairs.convention = &convention;
      return;
    }
    possible.push_back(&convention);
  }
  pairs.convention = possible.empty() ? &named : possible[0];
  if (possible.size() > 1) pairs.or_else = possible[1];
}

// Whether codes and scales make a pair.
bool check_shapes(const ModelFiles& files, const Convention& convention, const StoredTensor& codes,
                  const StoredTensor& scales, Problems* problems) {
  Shape weight = scales.shape;
  // K is counted in elements: 32 times as many as blocks, and these must still be countable.
  bool fits = !weight.empty() && weight.back() <= kMaxColumns / kBlockSize;
  if (fits) {
    weight.back() *= kBlockSize;
    fits = byte_size(Dtype::f64, weight).has_value() && convention.shape_of_codes(weight) == codes.shape;
  }
  if (!fits) {
    report(problems, ProblemKind::shape, codes.name, "{}: shape {} does not fit that of its scales '{}', {}",
           place(files, codes), to_string(codes.shape), scales.name, to_string(scales.shape));
  }
  return fits;
}

/// Looks for what should be a pair and is none.
class Leftovers {
 public:
  Leftovers(const ModelFiles& files, const Pairs& pairs, Problems* problems)
      : files_(files), pairs_(pairs), problems_(problems) {}

  void check(const StoredTensor& tensor) {
    for (const Convention& convention : conventions()) {
      if (is_repeated(convention)) continue;
      if (tensor.name.ends_with(convention.codes_suffix)) {
        check_codes(convention, tensor);
      } else if (tensor.name.ends_with(convention.scales_suffix)) {
        if (check_scales(convention, tensor)) return;
      }
    }
    if (!pairs_.others.empty()) check_other(tensor);
  }

 private:
  // Codes and scales of FP8 and NVFP4 in a model that has such weights.
  void check_other(const StoredTensor& tensor) {
    constexpr struct {
      const char *suffix, *partner;
      Dtype dtype;
    } kPartners[] = {{".weight_scale_inv", ".weight", Dtype::f32},
                     {".weight_scale", ".weight_packed", Dtype::f8_e4m3},
                     {".weight_global_scale", ".weight_packed", Dtype::f32}};
    if (tensor.dtype == Dtype::f8_e4m3 && tensor.name.ends_with(".weight") && tensor.shape.size() == 2) {
      report(problems_, ProblemKind::missing, tensor.name, "{} holds codes, but there are no scales for them",
             place(files_, tensor));
    }
    for (const auto& [suffix, partner, dtype] : kPartners) {
      if (tensor.dtype != dtype || !tensor.name.ends_with(suffix) ||
          partner_of(files_, tensor, suffix, partner) != nullptr)
        continue;
      const std::string codes =
          tensor.name.substr(0, tensor.name.size() - std::string_view(suffix).size()) + partner;
      report(problems_, ProblemKind::missing, codes, "{} holds scales, but their codes '{}' are missing",
             place(files_, tensor), codes);
    }
  }

  void check_codes(const Convention& convention, const StoredTensor& codes) {
    const StoredTensor* const scales =
        partner_of(files_, codes, convention.codes_suffix, convention.scales_suffix);
    if (pairs_.has(codes) || (scales != nullptr && pairs_.has(*scales))) return;
    const bool is_codes = codes.dtype == convention.codes_dtype;
    const bool is_scales = scales != nullptr && scales->dtype == convention.scales_dtype;
    // Anything may be called "..._blocks": one side's dtype makes a pair of them. A ".weight" may be whatever
    // it is, unless the rest of the model is stored so.
    if (convention.hides_codes() ? !is_codes || pairs_.convention == nullptr || codes.shape.size() < 2 ||
                                       !same_tensors(convention, *pairs_.convention)
                                 : !is_codes && !is_scales) {
      return;
    }
    if (scales == nullptr) {
      const std::string partner =
          codes.name.substr(0, codes.name.size() - std::string_view(convention.codes_suffix).size()) +
          convention.scales_suffix;
      report(problems_, ProblemKind::missing, partner, "{} holds codes, but their scales '{}' are missing",
             place(files_, codes), partner);
      return;
    }
    const StoredTensor& wrong = is_codes ? *scales : codes;
    report(problems_, ProblemKind::dtype, wrong.name, "{}: dtype {}, but {} stores {} as {}",
           place(files_, wrong), to_string(wrong.dtype), convention.name, is_codes ? "scales" : "codes",
           to_string(is_codes ? convention.scales_dtype : convention.codes_dtype));
  }

  // Whether it is told of. Scales that have any codes beside them are their affair.
  bool check_scales(const Convention& convention, const StoredTensor& scales) {
    if (scales.dtype != convention.scales_dtype) return false;
    for (const Convention& other : conventions()) {
      if (scales.name.ends_with(other.scales_suffix) &&
          partner_of(files_, scales, other.scales_suffix, other.codes_suffix) != nullptr)
        return true;
    }
    const bool known = pairs_.convention != nullptr &&
                       scales.name.ends_with(pairs_.convention->scales_suffix) &&
                       pairs_.convention->scales_dtype == scales.dtype;
    const Convention& expected = known ? *pairs_.convention : convention;
    const std::string partner =
        scales.name.substr(0, scales.name.size() - std::string_view(expected.scales_suffix).size()) +
        expected.codes_suffix;
    report(problems_, ProblemKind::missing, partner, "{} holds scales, but their codes '{}' are missing",
           place(files_, scales), partner);
    return true;
  }

  const ModelFiles& files_;
  const Pairs& pairs_;
  Problems* problems_;
};

// The convention that a pair is of by names, dtypes and rank.
const Convention* convention_of(const StoredTensor& codes, const StoredTensor& scales, const Pairs& pairs) {
  const auto fits = [&](const Convention& convention) {
    return codes.name.ends_with(convention.codes_suffix) && scales.name.ends_with(convention.scales_suffix) &&
           codes.dtype == convention.codes_dtype && scales.dtype == convention.scales_dtype;
  };
  const auto has_shape = [&](const Convention& convention) {
    return (codes.shape.size() == scales.shape.size() + 1) == (convention.code_shape == CodeShape::blocks);
  };
  if (fits(*pairs.convention) && has_shape(*pairs.convention)) return pairs.convention;
  const Convention* found = nullptr;
  for (const Convention& convention : conventions()) {
    if (fits(convention) && (found == nullptr || has_shape(convention))) found = &convention;
  }
  return found;
}

// A weight in another quantisation that is read; null for anything else.
OtherCodesPtr other_codes(const ModelFiles& files, const ModelConfig& config, const StoredTensor& codes) {
  constexpr std::string_view kWeight = ".weight", kPacked = ".weight_packed";
  if (codes.name.ends_with(kPacked)) {
    const StoredTensor* const scales = partner_of(files, codes, kPacked, ".weight_scale");
    const StoredTensor* const global = partner_of(files, codes, kPacked, ".weight_global_scale");
    return scales == nullptr || global == nullptr ? nullptr : nvfp4_codes(codes, *scales, *global);
  }
  if (!codes.name.ends_with(kWeight)) return nullptr;
  if (codes.dtype == Dtype::f8_e4m3) {
    const StoredTensor* scales = partner_of(files, codes, kWeight, ".scale");
    if (scales == nullptr) scales = partner_of(files, codes, kWeight, ".weight_scale_inv");
    return scales == nullptr ? nullptr : fp8_in_tiles(codes, *scales);
  }
  const StoredTensor* const scales = partner_of(files, codes, kWeight, ".scales");
  const StoredTensor* const biases = partner_of(files, codes, kWeight, ".biases");
  const auto module =
      config.mlx_modules.find(std::string_view(codes.name).substr(0, codes.name.size() - kWeight.size()));
  if (scales == nullptr || biases == nullptr || module == config.mlx_modules.end()) return nullptr;
  return affine_words(codes, *scales, *biases, module->second.group_size, module->second.bits);
}

void find_others(const ModelFiles& files, const ModelConfig& config, Pairs& pairs) {
  for (const StoredTensor* const tensor : files.tensors()) {
    if (pairs.has(*tensor)) continue;
    OtherCodesPtr other = other_codes(files, config, *tensor);
    // MLX's affine words are read beside MXFP4, and a model of nothing else is not.
    if (other == nullptr || (pairs.convention == nullptr && *other->format == '\0')) continue;
    for (const StoredTensor* const part : other->stored) {
      if (part != tensor) pairs.parts_of_others.insert(part);
    }
    pairs.others.emplace(tensor, std::move(other));
  }
}

}  // namespace

Pairs find_pairs(const ModelFiles& files, const ModelConfig& config, const Convention* wanted) {
  Pairs pairs;
  for (const StoredTensor* const tensor : files.tensors()) {
    for (const Convention& convention : conventions()) {
      if (is_repeated(convention) || tensor->dtype != convention.codes_dtype ||
          !tensor->name.ends_with(convention.codes_suffix)) {
        continue;
      }
      const StoredTensor* const scales =
          partner_of(files, *tensor, convention.codes_suffix, convention.scales_suffix);
      if (scales == nullptr || scales->dtype != convention.scales_dtype ||
          is_other_mode(convention, *tensor, *scales)) {
        continue;
      }
      if (pairs.convention == nullptr) decide(convention, *tensor, *scales, config, wanted, pairs);
      pairs.scales_of.emplace(tensor, scales);
      pairs.scales.insert(scales);
    }
  }
  find_others(files, config, pairs);
  return pairs;
}

void check_pairs(const ModelFiles& files, Pairs& pairs, Problems* problems) {
  const StoredTensor* first = nullptr;
  Pairs good;
  for (const StoredTensor* const codes : files.tensors()) {
    const auto pair = pairs.scales_of.find(codes);
    if (pair == pairs.scales_of.end()) continue;
    const StoredTensor& scales = *pair->second;
    const Convention& convention = *convention_of(*codes, scales, pairs);
    if (!check_shapes(files, convention, *codes, scales, problems)) continue;
    if (&convention != pairs.convention && first == nullptr) {  // what was taken for the first is no pair
      pairs.convention = &convention;
      pairs.or_else = nullptr;
    }
    if (&convention != pairs.convention) {
      report(problems, ProblemKind::config, codes->name, "{} is stored as {}, but {} as {}",
             place(files, *first), pairs.convention->name, place(files, *codes), convention.name);
      continue;
    }
    first = codes;
    good.scales_of.emplace(codes, &scales);
    good.scales.insert(&scales);
  }
  for (const StoredTensor* const tensor : files.tensors()) {
    if (!pairs.has(*tensor)) Leftovers(files, pairs, problems).check(*tensor);
  }
  if (good.scales_of.empty()) pairs.convention = pairs.or_else = nullptr;
  pairs.scales_of = std::move(good.scales_of);
  pairs.scales = std::move(good.scales);
}

StoredBlocks blocks_of_pair(const StoredTensor& codes, const StoredTensor& scales) {
  StoredBlocks blocks;
  blocks.codes = reinterpret_cast<const std::uint8_t*>(codes.bytes.data());
  blocks.scales = reinterpret_cast<const std::uint8_t*>(scales.bytes.data());
  blocks.shape = scales.shape;
  blocks.shape.back() *= kBlockSize;
  return blocks;
}

}  // namespace mxfp4
