#include <fmt/format.h>

#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/cli/options.h"
#include "mxfp4/cli/progress_bar.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/job/convert_job.h"

namespace mxfp4::cli {
namespace {

using job::Conversion;

Json to_json(const job::ConvertReport& report, bool planned) {
  Json tensors = Json::array();
  for (const job::ConvertedTensor& tensor : report.tensors) {
    tensors.push_back({{"name", tensor.name},
                       {"action", action_name(tensor.conversion)},
                       {"dtype", to_string(tensor.dtype)},
                       {"shape", tensor.shape}});
  }
  Json inexact = Json::array();
  for (const job::InexactBlocks& blocks : report.inexact) {
    inexact.push_back({{"tensor", blocks.tensor},
                       {"blocks", blocks.blocks},
                       {"row", blocks.row},
                       {"block", blocks.block},
                       {"message", blocks.reason}});
  }
  Json json = {{"ok", report.ok()},
               {"from", report.from},
               {"format", report.format},
               {"tensors", tensors},
               {"totals",
                {{"moved", report.count(Conversion::moved)},
                 {"reencoded", report.count(Conversion::reencoded)},
                 {"kept", report.count(Conversion::kept)},
                 {"expanded", report.count(Conversion::expanded)},
                 {"blocks", report.blocks},
                 {"bytes_in", report.bytes_in},
                 {"bytes_out", report.bytes_out}}},
               {"disk_needed_bytes", report.disk_needed},
               {"left_behind", report.left_behind}};
  if (!report.ok()) json["inexact"] = inexact;
  if (!planned && report.ok()) {
    json["totals"]["seconds"] = finite_or_null(report.seconds);
    json["totals"]["peak_memory_bytes"] = report.peak_memory;
    json["files"] = report.files;
    json["verified"] = report.verified;
  }
  return json;
}

class Convert : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_path(app, "IN", request_.in, kAnyModel)->required();
    add_path(app, "OUT", request_.out,
             "What to write: a directory; of a .safetensors file a file, of a .gguf file either; "
             "with --format gguf a .gguf file")
        ->required();
    add_choice(app, "--format", request_.format, job::convert_formats(), "FORMAT", "How to store OUT")
        ->required()
        ->group("What to write");
    std::vector<std::string> conventions;
    for (const Convention& convention : mxfp4::conventions()) conventions.emplace_back(convention.name);
    add_choice(app, "--from", request_.from, conventions, "FORMAT",
               "How IN is stored, where its files leave that open")
        ->group("What to write");
    app.add_flag("--no-verify", no_verify_, "Do not read OUT back and compare it with IN, block by block")
        ->group("What to write");
    app.add_flag("--dry-run", dry_run_, "Show what would be written, and write nothing")
        ->group("What to write");
    add_job_options(app, request_.options);
    add_timeout(app, request_.options.timeout);
    app.footer(
        "  mxfp4 convert gpt-oss-20b gpt-oss-20b-mlx --format mlx\n"
        "  mxfp4 convert model-ct model-quark --format quark --dry-run\n"
        "  mxfp4 convert model-ct model-nvfp4 --format nvfp4");
  }

  Over over() const noexcept override { return Over::team; }
  void join(Ranks& ranks) override { join_team(ranks, request_.options); }

  void run(Console& console) override {
    ProgressBar progress(console);
    request_.verify = !no_verify_;
    request_.options.progress = &progress;
    request_.options.stop = &stop_flag();
    const job::ConvertReport report = dry_run_ ? plan_convert(request_) : run_convert(request_);
    ok_ = report.ok();
    progress.wipe();
    if (console.json) return console.print_json(to_json(report, dry_run_));
    if (!ok_) return console.print(refusal(report, console.out));
    for (const std::string& file : report.left_behind) console.warn("not copied: " + file);
    if (!console.quiet) console.print(text(report, console.out));
  }

  int status() const noexcept override { return ok_ ? 0 : 1; }

 private:
  static std::string refusal(const job::ConvertReport& report, const Screen& screen) {
    constexpr std::size_t kShown = 20;
    std::string text;
    std::uint64_t blocks = 0;
    for (std::size_t i = 0; i < report.inexact.size(); ++i) {
      const job::InexactBlocks& of = report.inexact[i];
      blocks += of.blocks;
      if (i == kShown) text += "...\n";
      if (i >= kShown) continue;
      text += fmt::format("{}: {}, the first in row {}, block {}: {}\n", printable(of.tensor),
                          plural(of.blocks, "block"), of.row, of.block, of.reason);
    }
    return text + fmt::format("{}: {} of {} in {} of {} cannot be {} exactly; nothing was written\n",
                              screen.paint(Ink::bad, "not exact"), format_count(blocks),
                              plural(report.blocks, "block"), format_count(report.inexact.size()),
                              plural(report.count(Conversion::reencoded), "weight"), report.format);
  }

  std::string text(const job::ConvertReport& report, const Screen& screen) const {
    const std::uint64_t expanded = report.count(Conversion::expanded),
                        reencoded = report.count(Conversion::reencoded);
    std::string text = fmt::format(
        "{}  {} -> {}: {} of {} {}, {} kept{}\n  size  {} -> {}\n",
        screen.paint(Ink::strong, printable(request_.out.native())), report.from, report.format,
        plural(report.count(Conversion::moved) + reencoded, "weight"), plural(report.blocks, "block"),
        reencoded > 0 ? "encoded anew, all exactly" : "moved", format_count(report.count(Conversion::kept)),
        expanded > 0 ? fmt::format(", {} of another quantisation expanded to BF16", format_count(expanded))
                     : "",
        format_bytes(static_cast<double>(report.bytes_in)),
        format_bytes(static_cast<double>(report.bytes_out)));
    if (dry_run_) return text + "nothing was written\n";
    text += fmt::format("  time  {}, {}/s, {} of memory\n", format_seconds(report.seconds),
                        format_bytes(static_cast<double>(report.bytes_out) / report.seconds),
                        format_bytes(static_cast<double>(report.peak_memory)));
    return text + (report.verified ? "read back: every block and every number is that of IN\n" : "");
  }

  job::ConvertRequest request_;
  bool no_verify_ = false, dry_run_ = false, ok_ = true;
};

}  // namespace

std::unique_ptr<Verb> make_convert() {
  return std::make_unique<Convert>();
}

}  // namespace mxfp4::cli
