// A file of named tensors, mapped.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/base/file.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4 {

/// A tensor as a file stores it.
struct StoredTensor {
  std::string name;
  Dtype dtype = Dtype::u8;
  Shape shape;
  std::span<const std::byte> bytes;  ///< in the mapped file; need not be aligned
  /// What the elements really are, if no dtype says it: "MXFP4", "Q8_0". The dtype is U8 then, and the last
  /// dimension counts bytes.
  std::string_view type = {};
};

/// The tensors of one file. Whoever holds the pointer keeps the mapping alive.
struct TensorFile {
  MappedFile map;
  std::vector<StoredTensor> tensors;            ///< by their place in the file
  std::map<std::string, std::string> metadata;  ///< the file's own notes
};

using TensorFilePtr = std::shared_ptr<const TensorFile>;

}  // namespace mxfp4
