// A directory of any files is understood or refused, quantised, expanded and looked at: OUT is whole or
// absent, and what was written can be read. The input is config.json, model.safetensors.index.json and two
// shards, with kMark between them; whatever is missing is not written.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "mxfp4/base/error.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/job/dequantize_job.h"
#include "mxfp4/job/inspect_job.h"
#include "mxfp4/job/quantize_job.h"

namespace {

using namespace mxfp4;

constexpr std::string_view kMark = "<|>";
constexpr const char* kNames[] = {"config.json", "model.safetensors.index.json",
                                  "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};

void check(bool holds) {
  if (!holds) std::abort();
}

void write_files(const std::filesystem::path& directory, std::string_view data) {
  std::filesystem::create_directory(directory);
  for (const char* const name : kNames) {
    const std::size_t end = std::min(data.find(kMark), data.size());
    if (end > 0) std::ofstream(directory / name, std::ios::binary) << data.substr(0, end);
    data.remove_prefix(std::min(end + kMark.size(), data.size()));
  }
}

/// Whether `action` succeeds. Every failure is an Error.
template <class Action>
bool works(const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    check(error.what()[0] != '\0');
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const TestDirectory directory;
  const std::filesystem::path in = directory / "in", out = directory / "out", back = directory / "back";
  write_files(in, {reinterpret_cast<const char*>(data), size});
  job::Options options;
  options.threads = 1;

  job::InspectRequest inspect;
  inspect.path = in;
  inspect.scales = true;
  const bool readable = works([&] { job::run_inspect(inspect); });

  job::QuantizeRequest quantize;
  quantize.in = in;
  quantize.out = out;
  quantize.recipe.nonfinite = NonFinite::saturate;
  quantize.options = options;
  const bool quantized = works([&] { job::run_quantize(quantize); });
  check(readable || !quantized);
  check(quantized == std::filesystem::exists(out));

  job::DequantizeRequest dequantize;
  dequantize.in = quantized ? out : in;
  dequantize.out = back;
  dequantize.options = options;
  const bool expanded = works([&] { job::run_dequantize(dequantize); });
  check(expanded == std::filesystem::exists(back));
  for (const auto& path : {out, back}) {
    if (!std::filesystem::exists(path)) continue;
    inspect.path = path;
    check(works([&] { job::run_inspect(inspect); }));
  }
  return 0;
}
