#include "mxfp4/base/error.h"

#include <system_error>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {

const char* to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::corrupt_file:
      return "corrupt_file";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::io:
      return "io";
    case ErrorCode::device:
      return "device";
    case ErrorCode::out_of_memory:
      return "out_of_memory";
    case ErrorCode::interrupted:
      return "interrupted";
  }
  return "unknown";
}

void fail_io(std::string_view path, std::string_view verb, int error) {
  fail(ErrorCode::io, "{}: cannot {}: {}", path, verb, std::generic_category().message(error));
}

}  // namespace mxfp4
