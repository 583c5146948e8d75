// Small models for tests.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/container/safetensors.h"

namespace mxfp4 {

inline std::filesystem::path test_model(const char* name) {
  return std::filesystem::path(MXFP4_TEST_DATA) / "models" / name;
}

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// Writes tensors of zeros.
inline void write_tensors(const std::filesystem::path& path,
                          const std::vector<safetensors::TensorSpec>& tensors,
                          const std::map<std::string, std::string>& metadata = {}) {
  const safetensors::Layout layout = safetensors::layout(tensors, metadata);
  std::string content = layout.head;
  content.resize(layout.size);
  write_text(path, content);
}

/// What `body` throws: "corrupt_file: the message". Empty if it throws nothing.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  }
  return "";
}

/// Succeeds if `text` has every one of the pieces.
inline testing::AssertionResult has_all(const std::string& text,
                                        std::initializer_list<std::string_view> pieces) {
  for (const std::string_view piece : pieces) {
    if (text.find(piece) == std::string::npos) {
      return testing::AssertionFailure() << "'" << piece << "' is missing in: " << text;
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace mxfp4
