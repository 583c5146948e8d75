#include <fmt/format.h>

#include "mxfp4/cli/options.h"
#include "mxfp4/cli/progress_bar.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/job/synth_job.h"

namespace mxfp4::cli {
namespace {

class Synth : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_path(app, "OUT", request_.out, "The model directory to write")->required();
    const char* const group = "What to write";
    add_choice(app, "--like", request_.like, job::synth_models(), "NAME",
               "Names, shapes and config of a model")
        ->required()
        ->group(group);
    add_choice(app, "--dtype", dtype_, {"bf16", "mxfp4"}, "DTYPE",
               "How the experts are stored (default: bf16)")
        ->group(group);
    add_number(app, "--seed", request_.seed, 0, UINT64_MAX, "Another seed, other weights (default: 0)")
        ->group(group);
    const auto size = [&](const char* name, std::int64_t& value, const char* what) {
      add_number(app, name, value, 1, 1 << 20, what)->group(group);
    };
    size("--layers", request_.layers, "Fewer or more layers than the model has");
    size("--experts", request_.experts, "Another number of experts");
    size("--hidden-size", request_.hidden_size, "Another width of the model");
    size("--intermediate-size", request_.intermediate_size, "Another width of the experts");
    add_job_options(app, request_.options);
    app.footer(
        "  mxfp4 synth model --like tiny\n"
        "  mxfp4 synth /tmp/two-layers --like gpt-oss-20b --layers 2 --dtype mxfp4 --seed 7");
  }

  void run(Console& console) override {
    ProgressBar progress(console);
    request_.quantized = dtype_ == "mxfp4";
    request_.options.progress = &progress;
    request_.options.stop = &stop_flag();
    const job::SynthReport report = job::run_synth(request_);
    progress.wipe();
    if (console.json) {
      return console.print_json(Json{{"like", request_.like},
                                     {"tensors", report.tensors},
                                     {"bytes", report.bytes},
                                     {"files", report.files},
                                     {"seconds", finite_or_null(report.seconds)},
                                     {"peak_memory_bytes", report.peak_memory}});
    }
    if (console.quiet) return;
    const auto bytes = static_cast<double>(report.bytes);
    console.print(fmt::format("{}  {} with random weights: {}, {} in {}, {}/s\n",
                              console.out.paint(Ink::strong, printable(request_.out.native())), request_.like,
                              plural(report.tensors, "tensor"), format_bytes(bytes),
                              format_seconds(report.seconds), format_bytes(bytes / report.seconds)));
  }

 private:
  job::SynthRequest request_;
  std::string dtype_ = "bf16";
};

}  // namespace

std::unique_ptr<Verb> make_synth() {
  return std::make_unique<Synth>();
}

}  // namespace mxfp4::cli
