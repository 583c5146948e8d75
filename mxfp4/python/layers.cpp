#include <string>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/python/layers_internal.h"

namespace mxfp4::python {

Activation activation_named(std::string_view name) {
  if (name == "exact") return Activation::exact;
  if (name == "int8") return Activation::int8;
  if (name == "mxfp8") return Activation::mxfp8;
  fail(ErrorCode::invalid_argument, "activation is '{}', none of exact, int8, mxfp8", name);
}

LayerOptions layer_options(bool pack, int threads, std::string_view device) {
  LayerOptions options;
  options.pack = pack;
  options.context = context_of(threads, device);
  return options;
}

Tokens tokens_of(std::string_view what, nb::handle array, bool bf16, std::int64_t columns) {
  Tokens tokens{dense_array(std::string(what) + ": x", array, bf16)};
  const DenseView& view = tokens.x.view;
  if (view.rank() == 0 || view.shape.back() != columns) {
    fail(ErrorCode::invalid_argument, "{}: x has shape {}, but its last dimension must be {}", what,
         to_string(view.shape), columns);
  }
  tokens.count = columns == 0 ? 0 : view.elements() / columns;
  tokens.indices = view.rank() > 1 ? view.shape[0] : 1;
  return tokens;
}

}  // namespace mxfp4::python
