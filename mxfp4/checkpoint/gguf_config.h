// config.json in llama.cpp's terms, and the reverse.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/container/gguf.h"
#include "mxfp4/container/gguf_layout.h"

namespace mxfp4 {

/// The text of a config.json that says what the metadata of a model say, in transformers' terms; empty for an
/// architecture that is unknown. What llama.cpp takes for granted of gpt-oss is said, too: layers with a
/// window and without in turns, swiglu_limit 7. Throws Error corrupt_file for a value of the wrong type.
std::string config_from_gguf(const gguf::File& file);

/// The metadata up to the tokenizer's that llama.cpp wants of a gpt-oss model. `where` names the config in
/// messages. Throws Error corrupt_file if the config lacks a value or has one of the wrong type; unsupported
/// for what llama.cpp's gpt-oss does not do: layers in another order, another swiglu_limit, another rope.
gguf::Metadata gguf_metadata(std::string_view config, std::string_view model_name, bool mxfp4,
                             std::string_view where);

}  // namespace mxfp4
