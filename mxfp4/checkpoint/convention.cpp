#include "mxfp4/checkpoint/convention.h"

#include <fmt/format.h>

#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/convention_internal.h"
#include "mxfp4/tensor/mxfp4_tensor.h"

namespace mxfp4 {

Shape Convention::shape_of_codes(Shape shape) const {
  switch (code_shape) {
    case CodeShape::bytes:
      shape.back() /= 2;
      break;
    case CodeShape::blocks:
      shape.back() /= kBlockSize;
      shape.push_back(kBlockSize / 2);
      break;
    case CodeShape::words:
      shape.back() /= 8;
      break;
    case CodeShape::elements:
      break;
  }
  return shape;
}

std::span<const Convention> conventions() noexcept {
  static const Convention table[] = {
#define MXFP4_CONVENTION(id) id##_convention(),
#include "mxfp4/checkpoint/conventions.inc"
#undef MXFP4_CONVENTION
  };
  return table;
}

const Convention* find_convention(std::string_view name) noexcept {
  for (const Convention& convention : conventions()) {
    if (name == convention.name) return &convention;
  }
  return nullptr;
}

std::string convention_names() {
  std::string names;
  for (const Convention& convention : conventions()) {
    if (!convention.own_files) names += fmt::format("{}{}", names.empty() ? "" : ", ", convention.name);
  }
  return names;
}

std::map<std::string, std::string> config_with(const ConfigRequest& request, std::string_view quantization) {
  return {{"config.json", with_quantization(request.config, quantization)}};
}

std::map<std::string, std::string> config_alone(const ConfigRequest& request) {
  return config_with(request, "");
}

}  // namespace mxfp4
