#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mxfp4/cli/findings.h"
#include "mxfp4/cli/options.h"
#include "mxfp4/cli/progress_bar.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/job/verify_job.h"

namespace mxfp4::cli {
namespace {

using job::ComparedWeight;
using job::VerifyReport;

constexpr int kMostThreads = 1024;

Json to_json(const VerifyReport& report) {
  Json tensors = Json::array();
  for (const ComparedWeight& weight : report.compared) {
    tensors.push_back({{"name", weight.name},
                       {"sqnr_db", finite_or_null(weight.sqnr_db)},
                       {"max_error", finite_or_null(weight.max_error)}});
  }
  return {{"ok", report.ok()},
          {"problems", findings_json(report.problems)},
          {"notes", report.notes},
          {"tensors", tensors}};
}

// "12 weights compared, 4 of them the same; SQNR 18.32 dB at least (model.layers.0...)"
std::string against_text(const VerifyReport& report, const Screen& screen) {
  const auto less = [](const ComparedWeight& a, const ComparedWeight& b) { return a.sqnr_db < b.sqnr_db; };
  const auto worst = std::min_element(report.compared.begin(), report.compared.end(), less);
  if (worst == report.compared.end()) return "";
  const auto same = static_cast<std::uint64_t>(
      std::count_if(report.compared.begin(), report.compared.end(),
                    [](const ComparedWeight& weight) { return weight.max_error == 0; }));
  std::string text = fmt::format("{} compared with the original, {} of them the same",
                                 plural(report.compared.size(), "weight"), format_count(same));
  if (worst->max_error > 0) {
    text +=
        fmt::format("\nSQNR {} at least: {}", format_decibels(worst->sqnr_db),
                    shorten(printable(worst->name), std::max(screen.prose_width() - 26, 20), screen.utf8));
  }
  return text + "\n";
}

class Verify : public Verb {
 public:
  void declare(CLI::App& app) override {
    const char* const what = "What to check";
    add_path(app, "PATH", request_.path, kAnyModel)->required();
    CLI::Option* const structure =
        app.add_flag("--structure", structure_, "Headers, index and config only: no weight is read")
            ->group(what);
    CLI::Option* const against =
        add_path(app, "--against", request_.against,
                 "The model that PATH was made of, dense or MXFP4, in any layout: compare every weight")
            ->type_name("ORIGINAL")
            ->excludes(structure)
            ->group(what);
    add_bound(app, "--min-sqnr", "DB", "Least SQNR of a weight against its original (default: 12)",
              [this](double bound) { request_.min_sqnr_db = bound; })
        ->needs(against)
        ->group(what);
    add_bound(app, "--max-error", "E", "Largest error of an element against its original (default: any)",
              [this](double bound) {
                if (bound < 0) throw CLI::ValidationError("--max-error", "an error is not less than 0");
                request_.max_error = bound;
              })
        ->needs(against)
        ->group(what);
    add_number(app, "--threads", request_.threads, 1, kMostThreads,
               "Threads to use (default: all processors)")
        ->group("How it runs");
    add_timeout(app, timeout_);
    app.footer(
        "  mxfp4 verify model-mxfp4\n"
        "  mxfp4 verify model-mxfp4 --structure\n"
        "  mxfp4 verify model-mxfp4 --against model --min-sqnr 18");
  }

  Over over() const noexcept override { return Over::team; }
  void join(Ranks& ranks) override {
    request_.team = ranks.team();
    request_.team->set_timeout(timeout_);
  }

  void run(Console& console) override {
    ProgressBar progress(console);
    request_.content = !structure_;
    request_.progress = &progress;
    request_.stop = &stop_flag();
    report_ = job::run_verify(request_);
    progress.wipe();
    if (console.json) return console.print_json(to_json(report_));
    if (!console.quiet) console.print(text(console.out));
  }

  int status() const noexcept override { return report_.ok() ? 0 : 1; }

 private:
  template <class Store>
  static CLI::Option* add_bound(CLI::App& app, const std::string& name, const char* type,
                                const std::string& description, Store store) {
    return app
        .add_option_function<double>(
            name,
            [name, store](double bound) {
              if (!std::isfinite(bound)) throw CLI::ValidationError(name, "not a finite number");
              store(bound);
            },
            description)
        ->type_name(type);
  }

  std::string text(const Screen& screen) const {
    std::string text = findings_text(report_.problems, screen);
    if (!text.empty()) text += "\n";
    text +=
        fmt::format("{}: {} in {}, {} ({})\n", screen.paint(Ink::strong, printable(request_.path.native())),
                    report_.convention, plural(report_.files, "file"), plural(report_.tensors, "tensor"),
                    format_bytes(static_cast<double>(report_.bytes)));
    text += against_text(report_, screen);
    for (const std::string& note : report_.notes) text += printable(note) + "\n";
    const std::string verdict = report_.ok()
                                    ? screen.paint(Ink::good, "no problem")
                                    : screen.paint(Ink::bad, plural(report_.problems.size(), "problem"));
    return text + fmt::format("{} found in {}{}\n", verdict, format_seconds(report_.seconds),
                              structure_ ? "; the weights were not read" : "");
  }

  job::VerifyRequest request_;
  VerifyReport report_;
  std::chrono::seconds timeout_ = job::Options().timeout;
  bool structure_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_verify() {
  return std::make_unique<Verify>();
}

}  // namespace mxfp4::cli
