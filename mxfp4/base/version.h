// The library's own version.
#pragma once

namespace mxfp4 {

/// "0.1.0", of the library that is linked, which may be newer than the headers.
const char* version() noexcept;

}  // namespace mxfp4
