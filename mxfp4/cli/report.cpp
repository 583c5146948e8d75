#include <fmt/format.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/file.h"
#include "mxfp4/cli/options.h"
#include "mxfp4/cli/progress_bar.h"
#include "mxfp4/cli/report_page.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/cli/verb.h"

namespace mxfp4::cli {
namespace {

constexpr int kMostThreads = 1024;
constexpr const char* kPage = "report.html";

class Report : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_path(app, "PATH", request_.path,
             "A model directory, or one .safetensors, .gguf or .uqff file, with MXFP4 weights")
        ->required();
    add_path(app, "--against", request_.against,
             "The model that PATH was made of: show the error, and what every other scale rule would give")
        ->type_name("ORIGINAL")
        ->group("What to show");
    add_path(app, "-o,--output", page_, "The page to write (default: report.html; none with --json)")
        ->type_name("FILE.html")
        ->group("What to write");
    app.add_flag("--overwrite", overwrite_, "Replace the page if it exists")->group("What to write");
    add_number(app, "--threads", request_.threads, 1, kMostThreads,
               "Threads to use (default: all processors)")
        ->group("How it runs");
    app.footer(
        "  mxfp4 report model-mxfp4\n"
        "  mxfp4 report model-mxfp4 --against model -o model.html\n"
        "  mxfp4 report model-mxfp4 --against model --json");
  }

  void run(Console& console) override {
    if (page_.empty() && !console.json) page_ = kPage;
    check_page();
    ProgressBar progress(console);
    request_.progress = &progress;
    request_.stop = &stop_flag();
    const job::Report report = job::run_report(request_);
    progress.wipe();
    const ReportSummary summary(report);
    if (!page_.empty()) write_file(page_, report_page(request_, report, summary));
    if (console.json) return console.print_json(report_json(request_, report, summary));
    if (console.quiet) return;
    const Ink ink = summary.grade == Grade::good  ? Ink::good
                    : summary.grade == Grade::bad ? Ink::bad
                                                  : Ink::strong;
    console.print(fmt::format("{}: {}\nwritten: {}\n", console.out.paint(ink, to_string(summary.grade)),
                              summary.verdict, printable(page_.native())));
  }

 private:
  // Before the work, what would stop it afterwards.
  void check_page() const {
    if (page_.empty()) return;
    const std::string name = page_.native();
    const auto refuse = [&](const char* why) {
      throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}", name, why));
    };
    // Nothing else is ever replaced, a model least of all.
    if (page_.extension() != ".html") refuse("the name of a page ends in .html");
    if (std::filesystem::is_directory(page_)) refuse("is a directory");
    if (!overwrite_ && std::filesystem::exists(std::filesystem::symlink_status(page_)))
      refuse("exists; --overwrite replaces it");
    const std::filesystem::path parent = page_.parent_path();
    if (!parent.empty() && !std::filesystem::is_directory(parent)) refuse("its directory does not exist");
  }

  job::ReportRequest request_;
  std::filesystem::path page_;
  bool overwrite_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_report() {
  return std::make_unique<Report>();
}

}  // namespace mxfp4::cli
