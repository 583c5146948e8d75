// What the bindings of layers share.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mxfp4/layer/options.h"
#include "mxfp4/python/arrays_internal.h"
#include "mxfp4/python/checkpoint_internal.h"

namespace mxfp4::python {

/// "exact", "int8", "mxfp8". Throws Error invalid_argument for another name.
Activation activation_named(std::string_view name);

LayerOptions layer_options(bool pack, int threads, std::string_view device);

/// What must live as long as a layer that uses its weights where they lie.
struct Kept {
  std::vector<Bytes> bytes;
  CheckpointPtr checkpoint;
};

/// Rows of x, [..., columns], and their outputs, cut along x's first dimension.
struct Tokens {
  DenseArray x;
  std::int64_t count = 0;    ///< tokens
  std::int64_t indices = 0;  ///< of x's first dimension, 1 for a single token
  std::int64_t each() const noexcept { return indices == 0 ? 0 : count / indices; }
  DenseView part(std::int64_t begin, std::int64_t end) const {
    return x.view.rank() > 1 ? x.view.slice(0, begin, end) : x.view;
  }
};

/// Throws Error invalid_argument unless x's last dimension is `columns`, and as dense_array().
Tokens tokens_of(std::string_view what, nb::handle array, bool bf16, std::int64_t columns);

}  // namespace mxfp4::python
