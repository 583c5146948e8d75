// Any bytes are a layer as UQFF 0.x has it, which is written again to the same bytes, or are refused.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "mxfp4/base/error.h"
#include "mxfp4/container/uqff.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mxfp4;
  const std::span bytes(data, size);
  try {
    const uqff::Layer layer = uqff::read_layer(std::as_bytes(bytes), "PATH");
    DenseView bias;
    if (layer.bias) bias = dense_view(layer.bias->bytes.data(), layer.bias->dtype, layer.bias->shape);
    const std::string again = uqff::write_layer(layer.weight, bias);
    constexpr std::size_t kVersionBytes = 4;  // an older one is read, too
    if (again.size() != size ||
        std::memcmp(again.data() + kVersionBytes, data + kVersionBytes, size - kVersionBytes) != 0)
      std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt_file && error.code() != ErrorCode::unsupported) std::abort();
  }
  return 0;
}
