#include <algorithm>
#include <string_view>

#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/checkpoint/foreign_internal.h"

namespace mxfp4 {
namespace {

constexpr Dtype kAny = Dtype::boolean;  // no scales are stored as booleans

// A pair of tensors, {module}{weight} and {module}{partner}, that gives a quantisation away.
struct Sign {
  const char* name;
  const char* weight;
  Dtype dtype;
  const char* partner;
  Dtype partner_dtype;
  bool own_name;  // no other project writes these tensors: the config has no better name
};

// The first row that any tensor fits decides.
constexpr Sign kSigns[] = {
    {"mlx", ".weight", Dtype::u32, ".scales", kAny, true},
    {"nvfp4", ".weight", Dtype::u8, ".weight_scale", Dtype::f8_e4m3, true},
    {"nvfp4", ".weight_packed", Dtype::u8, ".weight_scale", Dtype::f8_e4m3, true},
    {"pack-quantized", ".weight_packed", Dtype::i32, ".weight_scale", kAny, false},
    {"fp8", ".weight", Dtype::f8_e4m3, ".weight_scale", kAny, false},
    {"fp8", ".weight", Dtype::f8_e4m3, ".weight_scale_inv", kAny, false},
    {"fp8", ".weight", Dtype::f8_e4m3, ".scale", kAny, false},
    {"int8", ".weight", Dtype::i8, ".weight_scale", kAny, false},
    {"gptq", ".qweight", Dtype::i32, ".scales", kAny, false},
    {"bitsandbytes", ".weight", Dtype::u8, ".weight.absmax", kAny, false},
    {"bitsandbytes", ".weight", Dtype::i8, ".SCB", kAny, false},
};

bool fits(const Sign& sign, const StoredTensor& tensor, const ModelFiles& files) {
  if (tensor.dtype != sign.dtype || !tensor.name.ends_with(sign.weight)) return false;
  const std::string module = tensor.name.substr(0, tensor.name.size() - std::string_view(sign.weight).size());
  const StoredTensor* const partner = files.find(module + sign.partner);
  return partner != nullptr && (sign.partner_dtype == kAny || partner->dtype == sign.partner_dtype);
}

bool is_packed(const StoredTensor& tensor) {
  switch (tensor.dtype) {
    case Dtype::f32:
    case Dtype::f16:
    case Dtype::bf16:
    case Dtype::f64:
    case Dtype::i64:
    case Dtype::boolean:
      return false;
    default:
      return tensor.shape.size() >= 2;
  }
}

// Codes of a convention whose names alone give them away.
bool has_codes_suffix(const StoredTensor& tensor) {
  const auto has = [&](const Convention& convention) {
    return !convention.hides_codes() && tensor.name.ends_with(convention.codes_suffix);
  };
  return std::any_of(conventions().begin(), conventions().end(), has);
}

}  // namespace

std::string foreign_quantization(const ModelFiles& files, const ModelConfig& config, const Pairs& pairs) {
  const std::string& told =
      config.quant_method == "compressed-tensors" ? config.quant_format : config.quant_method;
  bool packed = false, codes = false;
  const Sign* found = std::end(kSigns);
  for (const auto& [name, tensor] : files.by_name) {
    if (pairs.has(*tensor)) {
      codes = true;
      continue;
    }
    packed = packed || is_packed(*tensor);
    codes = codes || has_codes_suffix(*tensor);
    for (const Sign* sign = std::begin(kSigns); sign < found; ++sign) {
      if (fits(*sign, *tensor, files)) found = sign;
    }
  }
  // Beside MXFP4 the config's name is that of the MXFP4.
  const bool is_own =
      found != std::end(kSigns) && (found->own_name || told.empty() || pairs.convention != nullptr);
  if (found != std::end(kSigns)) return is_own ? found->name : told;
  // A method without a row here.
  return packed && !codes ? config.quant_method : "";
}

}  // namespace mxfp4
