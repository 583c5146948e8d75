// Two config.json files, and two maps of metadata, key by key.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "mxfp4/checkpoint/problems.h"

namespace mxfp4::job {

/// Adds a difference for every key that differs, by its path: "quantization_config.quant_method". Empty text
/// is an empty object. Without `storage`, what a config says about quantisation and dtype is passed over.
/// Throws Error corrupt_file for what is no JSON object.
void diff_configs(std::string_view a, std::string_view b, bool storage, Problems& differences);

/// The same for the metadata of files called `file`.
void diff_metadata(const std::string& file, const std::map<std::string, std::string>& a,
                   const std::map<std::string, std::string>& b, Problems& differences);

}  // namespace mxfp4::job
