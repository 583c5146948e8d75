// Any bytes are a GGUF file that can be read to its last element, and as a model to its last weight and
// token, or are refused.
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "mxfp4/base/error.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/gguf_config.h"
#include "mxfp4/checkpoint/gguf_tokenizer.h"
#include "mxfp4/container/gguf.h"

namespace {

using namespace mxfp4;

// Every element of every array, as often as it is text, or a number, or neither.
unsigned visit(const gguf::Value& value) {
  unsigned sum = static_cast<unsigned>(shown(value).size() + value.text().value_or("").size());
  sum += value.number() ? 1 : 0;
  if (const auto array = value.array()) {
    for (const gguf::Value& element : array->elements()) sum += visit(element);
  }
  return sum;
}

unsigned visit(const std::filesystem::path& path) {
  const gguf::File file = gguf::open(path);
  unsigned sum = 0;
  for (const gguf::Tensor& tensor : file.tensors) {
    for (const std::byte b : tensor.bytes) sum += static_cast<unsigned>(b);
    if (file.find(tensor.name) != &tensor) std::abort();
  }
  for (const gguf::Pair& pair : file.metadata) {
    if (file.value(pair.key) != &pair.value) std::abort();
    sum += visit(pair.value);
  }
  return sum;
}

unsigned visit(const Weight& weight) {
  const std::int64_t columns = weight.shape().empty() ? 1 : weight.shape().back();
  std::vector<float> row(static_cast<std::size_t>(columns));
  unsigned sum = 0;
  const std::int64_t rows = columns == 0 ? 0 : element_count(weight.shape()) / columns;
  for (std::int64_t i = 0; i < rows; ++i) {
    if (weight.other != nullptr) weight.other->read(i, i + 1, 0, columns, row.data());
    if (!weight.is_quantized()) continue;
    std::vector<std::uint8_t> blocks(static_cast<std::size_t>(columns / 32 * 17));
    copy_row(weight.quantized, i, blocks.data(), blocks.data() + columns / 2);
    for (const std::uint8_t byte : blocks) sum += byte;
  }
  return sum;
}

// What a model says goes into another file, unless llama.cpp could not use it.
void write_again(const Checkpoint& checkpoint) {
  SmallFiles files = checkpoint.files.derived();
  try {
    gguf::Metadata metadata = gguf_metadata(checkpoint.files.config, "x", true, "config.json");
    files["config.json"] = checkpoint.files.config;
    const auto vocabulary = static_cast<std::uint32_t>(checkpoint.config.vocabulary.value_or(0));
    add_tokenizer(metadata, files, std::min(vocabulary, 1u << 20), "PATH");
    gguf::layout({}, metadata);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt_file && error.code() != ErrorCode::unsupported) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const TestDirectory directory;
  const std::filesystem::path path = directory / "x.gguf";
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    unsigned sum = visit(path);
    Problems problems;
    const Checkpoint checkpoint = open_checkpoint(path, "", &problems);
    for (const Weight& weight : checkpoint.weights) sum += visit(weight);
    if (checkpoint.gpt_oss) write_again(checkpoint);
    asm volatile("" : : "r"(sum));  // so that the bytes are read
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt_file && error.code() != ErrorCode::unsupported) std::abort();
  }
  return 0;
}
