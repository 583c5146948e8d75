// What a model or a file holds, from its headers.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mxfp4/tensor/shape.h"

namespace mxfp4::job {

struct InspectRequest {
  std::filesystem::path path;        ///< a model directory or a file
  std::vector<std::string> tensors;  ///< patterns; if there are any, only tensors they name are listed
  bool scales = false;  ///< count the scale bytes of the listed MXFP4 weights, which are read for that
  const std::atomic<bool>* stop = nullptr;  ///< set to end with Error interrupted; may be null
};

/// A tensor as a file stores it.
struct InspectedTensor {
  std::string name;
  std::string dtype;  ///< "BF16", or what GGUF calls its type: "Q8_0"
  Shape shape;        ///< elements, of GGUF's types that are not read bytes
  std::uint64_t bytes = 0;
  std::string file;  ///< relative to the directory; a bare file's own name
};

struct InspectReport {
  std::string container;                 ///< "safetensors" or "gguf"
  std::string convention;                ///< "gpt-oss", "gpt-oss-dense", "dense", ...
  bool readable = true;                  ///< whether quantise and dequantise read that convention
  std::vector<InspectedTensor> tensors;  ///< natural order of the names
  std::uint64_t bytes = 0;               ///< of the listed tensors
  std::vector<std::string> files;        ///< the model's tensor files
  std::map<std::string, std::map<std::string, std::string>> metadata;  ///< by file, where there is any
  std::uint64_t quantized_weights = 0;                                 ///< MXFP4 weights among the listed
  std::optional<std::array<std::uint64_t, 256>> scales;  ///< how often each scale byte stands, if asked for
};

/// Throws what open_checkpoint throws; Error invalid_argument for a pattern that names nothing; interrupted.
InspectReport run_inspect(const InspectRequest& request);

}  // namespace mxfp4::job
