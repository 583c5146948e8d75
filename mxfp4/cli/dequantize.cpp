#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "mxfp4/cli/options.h"
#include "mxfp4/cli/progress_bar.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/job/dequantize_job.h"

namespace mxfp4::cli {
namespace {

const std::map<std::string, Dtype> kDtypes = {
    {"bf16", Dtype::bf16}, {"f16", Dtype::f16}, {"f32", Dtype::f32}};

Json to_json(const job::DequantizeReport& report) {
  Json tensors = Json::array();
  std::uint64_t dequantized = 0;
  for (const job::DequantizedTensor& tensor : report.tensors) {
    dequantized += tensor.dequantized;
    tensors.push_back({{"name", tensor.name},
                       {"action", tensor.dequantized ? "dequantized" : "kept"},
                       {"dtype", to_string(tensor.dtype)},
                       {"shape", tensor.shape}});
  }
  return {{"convention", report.convention},
          {"dtype", to_string(report.dtype)},
          {"tensors", tensors},
          {"totals",
           {{"dequantized", dequantized},
            {"kept", report.tensors.size() - dequantized},
            {"bytes_in", report.bytes_in},
            {"bytes_out", report.bytes_out},
            {"seconds", finite_or_null(report.seconds)},
            {"peak_memory_bytes", report.peak_memory}}},
          {"files", report.files},
          {"left_behind", report.left_behind}};
}

class Dequantize : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_path(app, "IN", request_.in, kAnyModel)->required();
    add_path(app, "OUT", request_.out,
             "What to write: a directory; of a .safetensors file a file, of a .gguf file either")
        ->required();
    add_choice(app, "--dtype", dtype_, {"bf16", "f16", "f32"}, "DTYPE",
               "Of the expanded weights (default: what the config says, else bf16)")
        ->group("What to write");
    add_job_options(app, request_.options);
    add_timeout(app, request_.options.timeout);
    add_device(app);
    app.footer(
        "  mxfp4 dequantize model-mxfp4 model\n"
        "  mxfp4 dequantize weights-mxfp4.safetensors weights.safetensors --dtype f32");
  }

  Over over() const noexcept override { return Over::team; }
  void join(Ranks& ranks) override { join_team(ranks, request_.options); }

  void run(Console& console) override {
    open_device();
    ProgressBar progress(console);
    if (!dtype_.empty()) request_.dtype = kDtypes.at(dtype_);
    request_.options.progress = &progress;
    request_.options.stop = &stop_flag();
    const job::DequantizeReport report = job::run_dequantize(request_);
    progress.wipe();
    if (console.json) return console.print_json(to_json(report));
    for (const std::string& file : report.left_behind) console.warn("not copied: " + file);
    if (console.quiet) return;
    const auto dequantized = static_cast<std::uint64_t>(std::count_if(
        report.tensors.begin(), report.tensors.end(), [](const auto& tensor) { return tensor.dequantized; }));
    const auto in = static_cast<double>(report.bytes_in), out = static_cast<double>(report.bytes_out);
    console.print(fmt::format(
        "{}  {} of {} expanded from {} to {}\n  size  {} -> {}\n  time  {}, {}/s, {} of memory\n",
        console.out.paint(Ink::strong, printable(request_.out.native())), format_count(dequantized),
        plural(report.tensors.size(), "tensor"), report.convention, to_string(report.dtype), format_bytes(in),
        format_bytes(out), format_seconds(report.seconds), format_bytes(out / report.seconds),
        format_bytes(static_cast<double>(report.peak_memory))));
  }

 private:
  job::DequantizeRequest request_;
  std::string dtype_;
};

}  // namespace

std::unique_ptr<Verb> make_dequantize() {
  return std::make_unique<Dequantize>();
}

}  // namespace mxfp4::cli
