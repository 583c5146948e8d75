// Any text of a config is read or refused, and rewriting it does what it says.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mxfp4/base/error.h"
#include "mxfp4/checkpoint/config.h"

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const mxfp4::ModelConfig before = mxfp4::parse_config(text, "config.json");
    const std::string without = mxfp4::with_quantization(text, "");
    const mxfp4::ModelConfig bare = mxfp4::parse_config(without, "config.json");
    check(bare.quant_method.empty() && !bare.left_alone);
    check(bare.model_type == before.model_type && bare.hidden_size == before.hidden_size);
    check(mxfp4::with_quantization(without, "") == without);
    const std::string with = mxfp4::with_quantization(text, R"({"quant_method": "mxfp4", "bits": 4})");
    check(mxfp4::parse_config(with, "config.json").quant_method == "mxfp4");
    check(mxfp4::with_quantization(with, "") == without);
  } catch (const mxfp4::Error& error) {
    check(error.code() == mxfp4::ErrorCode::corrupt_file);
  }
  return 0;
}
