#include "mxfp4/tensor/dtype.h"

namespace mxfp4 {
namespace {

struct Info {
  const char* name;
  int bits;
};

constexpr Info kInfo[] = {
#define MXFP4_DTYPE(id, name, bits) {name, bits},
#include "mxfp4/tensor/dtypes.inc"
#undef MXFP4_DTYPE
};

}  // namespace

const char* to_string(Dtype dtype) noexcept {
  return kInfo[static_cast<int>(dtype)].name;
}

int bits_of(Dtype dtype) noexcept {
  return kInfo[static_cast<int>(dtype)].bits;
}

std::optional<Dtype> parse_dtype(std::string_view name) noexcept {
  int index = 0;
  for (const Info& info : kInfo) {
    if (name == info.name) return static_cast<Dtype>(index);
    ++index;
  }
  return std::nullopt;
}

}  // namespace mxfp4
