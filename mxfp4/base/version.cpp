#include "mxfp4/base/version.h"

namespace mxfp4 {

const char* version() noexcept {
  return MXFP4_VERSION;
}

}  // namespace mxfp4
