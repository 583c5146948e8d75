#include "mxfp4/tensor/mxfp4_tensor.h"

namespace mxfp4 {

std::int64_t Mxfp4View::rows() const noexcept {
  return element_count(std::span(shape).first(shape.empty() ? 0 : shape.size() - 1));
}

}  // namespace mxfp4
