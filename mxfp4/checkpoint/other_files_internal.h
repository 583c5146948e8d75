// The files of a model directory besides those that hold its tensors.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/model_files.h"

namespace mxfp4 {

inline constexpr const char* kConfigName = "config.json";
inline constexpr const char* kIndexName = "model.safetensors.index.json";

/// The entries of a directory, in no order. Throws Error io.
std::vector<std::filesystem::directory_entry> entries_of(const std::filesystem::path& directory);

/// Whether the name is that of weights in a format that is not read: "pytorch_model.bin".
bool is_other_format(const std::filesystem::path& path);

/// Fills other_files and left_behind of the model in model.path, whose tensors are in `read`; config.json and
/// the index are in neither list. Throws Error io.
void list_other_files(ModelFiles& model, const std::vector<std::string>& read);

}  // namespace mxfp4
