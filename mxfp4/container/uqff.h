// UQFF, the container of mistral.rs: safetensors by another name, and in its older version one blob per
// layer.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mxfp4/container/tensor_file.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::uqff {

/// Major, minor, patch: those that are written, and the newest that are read of their major.
using Version = std::array<std::uint32_t, 3>;
inline constexpr Version kVersion = {1, 2, 0};
inline constexpr Version kBlobVersion = {0, 2, 0};

/// Key of the metadata under which open() says the version of a file of blobs: "0.2.0".
inline constexpr const char* kBlobVersionKey = "uqff.version";

/// The number that stands for MXFP4 among the formats of layers.
inline constexpr std::uint8_t kMxfp4 = 6;

/// Names of U32 scalars that hold the version, and what follows a module's path:
/// "model.layers.0.mlp.down_proj".
inline constexpr const char* kVersionNames[] = {"uqff.version.major", "uqff.version.minor",
                                                "uqff.version.patch"};
inline constexpr const char* kWeight = ".weight";
inline constexpr const char* kScales = ".weight.scales";
inline constexpr const char* kFormat = ".weight.format";
inline constexpr const char* kBias = ".bias";

/// Throws Error unsupported for another major version than `known`'s, or a newer minor one.
void check_version(const Version& version, const Version& known, std::string_view where);

/// A layer in a blob. The views lie in the blob's bytes.
struct Layer {
  Version version = kBlobVersion;
  Mxfp4View weight;                                    ///< [..., N, K]
  std::optional<StoredTensor> bias;                    ///< [..., N], without a name
  std::span<const std::byte> code_bytes, scale_bytes;  ///< of `weight`
};

/// Reads one blob. `where` begins the messages. Throws Error corrupt_file, with the place and the values;
/// unsupported for another version and for a layer that is not MXFP4.
Layer read_layer(std::span<const std::byte> blob, std::string_view where);

/// A blob laid out but not written.
struct BlobLayout {
  std::vector<std::pair<std::uint64_t, std::string>> heads;  ///< what stands between the data, and where
  std::uint64_t codes = 0, scales = 0, bias = 0;             ///< where the data go
  std::uint64_t size = 0;
};

/// A layer of shape [..., N, K], codes interleaved, with a bias [..., N] of dtype `bias`, or without one.
/// Throws Error invalid_argument if K is no multiple of 32 or the rank is below 2; for a dtype of `bias` that
/// blobs do not know, and a tensor of 4 GiB or more.
BlobLayout layout_blob(const Shape& shape, std::optional<Dtype> bias);

/// A layer as one blob. `bias` is contiguous, or has no data. Throws what layout_blob throws;
/// invalid_argument for another block size than 32, codes that are not interleaved, and a bias of another
/// shape.
std::string write_layer(const Mxfp4View& weight, const DenseView& bias = {});

/// Opens a .uqff file of either kind. Of blobs "0", "1", ... it shows the tensors that a newer file would
/// have: "0.weight", "0.weight.scales" and "0.bias". Throws what safetensors::open and read_layer throw.
TensorFile open(const std::filesystem::path& path);

/// Whether a file holds blobs: all its names are numbers, of U8 tensors with one dimension.
bool holds_blobs(const std::vector<StoredTensor>& tensors);

}  // namespace mxfp4::uqff
