// GGUF files as a model.
#pragma once

#include <filesystem>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/model_files.h"
#include "mxfp4/container/gguf.h"

namespace mxfp4 {

/// Opens a .gguf file, and with one of a split model, "x-00001-of-00003.gguf", all of them. The config is the
/// metadata in transformers' terms. Throws Error io; corrupt_file and unsupported as gguf::open does, for a
/// part that is missing, and for a tensor that stands in two of them.
ModelFiles open_gguf_model(const std::filesystem::path& path);

/// The weights under the names that transformers gives them, sorted; those that it has none for keep
/// llama.cpp's. Throws Error corrupt_file for a weight that is stored twice; with `problems`, lists it.
std::vector<Weight> read_gguf_weights(const ModelFiles& files, const ModelConfig& config, Problems* problems);

/// The types of tensors that read_gguf_weights shows as bytes only: "gguf with Q4_K, Q6_K"; empty if there
/// are none.
std::string foreign_gguf_types(const ModelFiles& files);

/// Its convention, for which no other container has a row.
const Convention& gguf_convention() noexcept;

}  // namespace mxfp4
