#include <fmt/format.h>

#include "mxfp4/cli/findings.h"
#include "mxfp4/cli/options.h"
#include "mxfp4/cli/progress_bar.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/job/diff_job.h"

namespace mxfp4::cli {
namespace {

constexpr int kMostThreads = 1024;

class Diff : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_path(app, "A", request_.a, kAnyModel)->required();
    add_path(app, "B", request_.b, "The other")->required();
    app.add_flag(
           "--values", request_.values,
           "What the weights are worth, whatever their dtypes, layouts, names and files (default: bytes)")
        ->group("What to compare");
    add_number(app, "--threads", request_.threads, 1, kMostThreads,
               "Threads to use (default: all processors)")
        ->group("How it runs");
    app.footer(
        "  mxfp4 diff model-mxfp4 model-mxfp4-again\n"
        "  mxfp4 diff model-mxfp4 model-bf16 --values");
  }

  void run(Console& console) override {
    ProgressBar progress(console);
    request_.progress = &progress;
    request_.stop = &stop_flag();
    report_ = job::run_diff(request_);
    progress.wipe();
    if (console.json) {
      return console.print_json(
          {{"equal", report_.equal()}, {"differences", findings_json(report_.differences)}});
    }
    if (!console.quiet) console.print(text(console.out));
  }

  int status() const noexcept override { return report_.equal() ? 0 : 1; }

 private:
  std::string text(const Screen& screen) const {
    std::string text = findings_text(report_.differences, screen);
    if (!text.empty()) text += "\n";
    const std::string verdict =
        report_.equal() ? screen.paint(Ink::good, "equal")
                        : screen.paint(Ink::bad, plural(report_.differences.size(), "difference"));
    return text + fmt::format("{}: {} compared by {}, {} of A in {}\n", verdict,
                              plural(report_.compared, request_.values ? "weight" : "tensor"),
                              request_.values ? "values" : "bytes",
                              format_bytes(static_cast<double>(report_.bytes)),
                              format_seconds(report_.seconds));
  }

  job::DiffRequest request_;
  job::DiffReport report_;
};

}  // namespace

std::unique_ptr<Verb> make_diff() {
  return std::make_unique<Diff>();
}

}  // namespace mxfp4::cli
