// Feeds the reader of safetensors headers arbitrary bytes.
#include <cstddef>
#include <cstdint>

#include "mxfp4/container/test_safetensors_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mxfp4::safetensors;
  const std::span file(data, size);
  check_bytes(std::as_bytes(file));
  const std::string fitting = with_fitting_length({reinterpret_cast<const char*>(data), size});
  check_bytes(std::as_bytes(std::span(fitting)));
  return 0;
}
