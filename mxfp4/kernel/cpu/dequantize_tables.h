// The values of the 16 codes under each scale byte, in each dtype: no byte is special to who reads them.
#pragma once

#include <cstdint>

namespace mxfp4::kernel {

struct DequantizeTables {
  alignas(64) std::uint32_t f32[256][16];
  alignas(64) std::uint16_t bf16[256][16], f16[256][16];
};

extern const DequantizeTables kDequantizeTables;

}  // namespace mxfp4::kernel
