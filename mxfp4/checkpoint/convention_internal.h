// The rows of the table of conventions.
#pragma once

#include "mxfp4/checkpoint/convention.h"

namespace mxfp4 {

#define MXFP4_CONVENTION(id) Convention id##_convention() noexcept;
#include "mxfp4/checkpoint/conventions.inc"
#undef MXFP4_CONVENTION

/// {"config.json": the config with that quantization_config}, or without any if it is empty.
std::map<std::string, std::string> config_with(const ConfigRequest& request, std::string_view quantization);

/// The texts() of conventions whose readers need no word of the quantisation.
std::map<std::string, std::string> config_alone(const ConfigRequest& request);

/// The texts() of a format of compressed-tensors; `weights` is the JSON object of how they are quantised.
std::map<std::string, std::string> compressed_tensors_texts(const ConfigRequest& request, const char* format,
                                                            std::string_view weights);

}  // namespace mxfp4
