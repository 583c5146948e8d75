// Any bytes are a GGUF file that can be read to its last element, or refused.
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "mxfp4/base/error.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/container/gguf.h"

namespace {

// Every element of every array, as often as it is text, or a number, or neither.
unsigned visit(const mxfp4::gguf::Value& value) {
  unsigned sum = static_cast<unsigned>(shown(value).size() + value.text().value_or("").size());
  sum += value.number() ? 1 : 0;
  if (const auto array = value.array()) {
    for (const mxfp4::gguf::Value& element : array->elements()) sum += visit(element);
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mxfp4;
  const TestDirectory directory;
  std::ofstream(directory / "x.gguf", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    const gguf::File file = gguf::open(directory / "x.gguf");
    unsigned sum = 0;
    for (const gguf::Tensor& tensor : file.tensors) {
      for (const std::byte b : tensor.bytes) sum += static_cast<unsigned>(b);
      if (file.find(tensor.name) != &tensor) std::abort();
    }
    for (const gguf::Pair& pair : file.metadata) {
      if (file.value(pair.key) != &pair.value) std::abort();
      sum += visit(pair.value);
    }
    asm volatile("" : : "r"(sum));  // so that the bytes are read
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt_file && error.code() != ErrorCode::unsupported) std::abort();
  }
  return 0;
}
