// What the fuzzers of whole jobs share: model directories made of one input, and jobs that may fail.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "mxfp4/base/error.h"

namespace mxfp4::job {

inline void check(bool holds) {
  if (!holds) std::abort();
}

/// Makes a directory of config.json, model.safetensors.index.json and two shards, with "<|>" between them;
/// whatever is missing is not written. The rest of `data`, behind the fourth mark, is returned.
inline std::string_view write_model(const std::filesystem::path& directory, std::string_view data) {
  constexpr std::string_view kMark = "<|>";
  std::filesystem::create_directory(directory);
  for (const char* const name : {"config.json", "model.safetensors.index.json",
                                 "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    const std::size_t end = std::min(data.find(kMark), data.size());
    if (end > 0) std::ofstream(directory / name, std::ios::binary) << data.substr(0, end);
    data.remove_prefix(std::min(end + kMark.size(), data.size()));
  }
  return data;
}

/// Whether `action` succeeds. Every failure is an Error.
template <class Action>
bool works(const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    check(error.what()[0] != '\0');
    return false;
  }
}

}  // namespace mxfp4::job
