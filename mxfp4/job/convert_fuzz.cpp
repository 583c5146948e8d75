// A model in any container is understood and converted to any format, or refused: a dry run decides the same,
// OUT is whole or absent, was read back equal, and can be read.
//
// Input: a byte for the container, one for the format, and then a directory as write_model() takes it, or one
// file.
#include <cstdint>
#include <fstream>

#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/job/convert_job.h"
#include "mxfp4/job/inspect_job.h"
#include "mxfp4/job/test_fuzz_model_internal.h"

namespace {

using namespace mxfp4;
using job::check, job::works;

/// Writes IN and returns its path.
std::filesystem::path write_in(const TestDirectory& directory, int container, std::string_view data) {
  if (container == 0 || container == 1) {
    const std::filesystem::path in = directory / "in";
    job::write_model(in, data);
    if (container == 1) {  // its shards are UQFF's
      for (const auto& [from, to] : {std::pair("model-00001-of-00002.safetensors", "q-0.uqff"),
                                     std::pair("model-00002-of-00002.safetensors", "residual.safetensors")}) {
        if (std::filesystem::exists(in / from)) std::filesystem::rename(in / from, in / to);
      }
    }
    return in;
  }
  const std::filesystem::path in = directory / (container == 2 ? "in.gguf" : "in.safetensors");
  std::ofstream(in, std::ios::binary) << data;
  return in;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const TestDirectory directory;
  const int container = data[0] % 4;
  const std::vector<std::string> formats = job::convert_formats();
  job::ConvertRequest request;
  request.format = formats[data[1] % formats.size()];
  request.in = write_in(directory, container, {reinterpret_cast<const char*>(data) + 2, size - 2});
  request.out = directory / (request.format == "gguf" ? "out.gguf"
                             : container == 3         ? "out.safetensors"
                                                      : "out");
  request.options.threads = 1;

  job::ConvertReport planned, done;
  const bool possible = works([&] { planned = job::plan_convert(request); });
  check(!std::filesystem::exists(request.out));
  const bool converted = works([&] { done = job::run_convert(request); });
  check(possible || !converted);
  if (converted) {
    check(planned.ok() == done.ok() && planned.tensors.size() == done.tensors.size());
    check(done.verified == done.ok());
  }
  check((converted && done.ok()) == std::filesystem::exists(request.out));
  if (std::filesystem::exists(request.out)) {
    job::InspectRequest inspect;
    inspect.path = request.out;
    inspect.scales = true;
    check(works([&] { job::run_inspect(inspect); }));
  }
  return 0;
}
