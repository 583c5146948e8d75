// Small models for tests.
#pragma once

#include <algorithm>
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
#include "mxfp4/checkpoint/checkpoint.h"
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

/// Every problem as "kind [tensor] message", one line each.
inline std::string problems_of(const std::filesystem::path& path) {
  Problems problems;
  open_checkpoint(path, "", &problems);
  std::string text;
  for (const Problem& problem : problems) {
    text += std::string(to_string(problem.kind)) + " [" + problem.tensor + "] " + problem.message + "\n";
  }
  return text;
}

/// A directory of weights of zeros with a config.
inline std::string problems_of(const std::vector<safetensors::TensorSpec>& tensors, const char* config) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", tensors);
  write_text(directory / "config.json", config);
  return problems_of(directory.path());
}

inline std::ptrdiff_t lines(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

}  // namespace mxfp4
