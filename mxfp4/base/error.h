// The one exception type of the library.
#pragma once

#include <stdexcept>
#include <string>

namespace mxfp4 {

/// What went wrong, by what a caller can do about it.
enum class ErrorCode {
  invalid_argument,  ///< the caller's own values: a shape, an option, a pattern, an output that exists
  corrupt_file,      ///< the file breaks its format's rules, or its parts contradict each other
  unsupported,       ///< understood, but this library does not do it
  io,                ///< the system refused: not found, no permission, disk full
  device,            ///< an accelerator failed
  out_of_memory,     ///< an allocation, or a bound given by the caller, does not suffice
  interrupted,       ///< the caller asked to stop
};

/// The code's name, as it stands in JSON output: "corrupt_file".
const char* to_string(ErrorCode code) noexcept;

/// Thrown by everything in the library that can fail. The message says what, where and the values:
/// "model.safetensors: tensor 'w': 4096 bytes do not fit shape [32, 32] of F32".
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace mxfp4
