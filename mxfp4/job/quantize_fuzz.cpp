// A directory of any files is understood or refused, quantised, expanded and looked at: OUT is whole or
// absent, what was written can be read, and of a good model verify finds nothing wrong with it.
#include <cstdint>
#include <limits>

#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/job/dequantize_job.h"
#include "mxfp4/job/inspect_job.h"
#include "mxfp4/job/quantize_job.h"
#include "mxfp4/job/test_fuzz_model_internal.h"
#include "mxfp4/job/verify_job.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mxfp4;
  using job::check, job::works;
  const TestDirectory directory;
  const std::filesystem::path in = directory / "in", out = directory / "out", back = directory / "back";
  job::write_model(in, {reinterpret_cast<const char*>(data), size});
  job::Options options;
  options.threads = 1;

  job::InspectRequest inspect;
  inspect.path = in;
  inspect.scales = true;
  const bool readable = works([&] { job::run_inspect(inspect); });

  job::VerifyRequest verify;
  verify.path = in;
  verify.threads = 1;
  bool good = false;
  works([&] { good = job::run_verify(verify).ok(); });
  check(readable || !good);

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
  if (good && quantized) {
    verify.path = out;
    verify.against = in;
    verify.min_sqnr_db = -std::numeric_limits<double>::infinity();
    check(job::run_verify(verify).ok());
  }
  return 0;
}
