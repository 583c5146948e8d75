// The .uqff files of a directory.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/model_files.h"

namespace mxfp4 {

inline constexpr std::string_view kUqffExtension = ".uqff";

/// What comes before the number of a shard: "q" of "q-0.uqff"; of another name, all of it but the extension.
std::string uqff_stem(std::string_view file);

/// The stem of the UQFF model that a directory holds; empty if it holds other weights, or none. Throws Error
/// invalid_argument if it holds several.
std::string only_uqff_stem(const std::filesystem::path& directory);

/// The files of that model: its shards in order, and residual.safetensors if it is there. Throws Error
/// corrupt_file, or lists, where the numbers of shards have gaps.
std::vector<std::string> uqff_files(const std::filesystem::path& directory, std::string_view stem,
                                    Problems* problems);

/// Opens one shard. Blobs of an older file are named by what the config of a gpt-oss model says of their
/// shapes, "model.layers.0.mlp.experts.down_proj.weight"; without one they keep their numbers.
TensorFilePtr open_uqff(const std::filesystem::path& path, std::string_view config);

/// Whether it is a tensor that tells the version or a format, and no weight.
bool is_uqff_note(const StoredTensor& tensor);

/// Whether two tensors of one name are the same statement of a version, which every shard may repeat.
bool is_same_uqff_version(const StoredTensor& a, const StoredTensor& b);

/// Whether any file is UQFF, by its name or by what it holds.
bool holds_uqff(const ModelFiles& files);

/// Checks version and formats of such files. Returns the formats that are not MXFP4's, "uqff with format 3",
/// or an empty text. Throws Error unsupported for another version; corrupt_file, or lists, what else is
/// wrong.
std::string check_uqff(const ModelFiles& files, Problems* problems);

}  // namespace mxfp4
