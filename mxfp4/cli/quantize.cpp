#include "mxfp4/quantize/quantize.h"

#include <algorithm>

#include <fmt/format.h>

#include "mxfp4/base/file.h"
#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/cli/options.h"
#include "mxfp4/cli/progress_bar.h"
#include "mxfp4/cli/quantize_report.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/cli/verb.h"

namespace mxfp4::cli {
namespace {

constexpr std::size_t kMaxRules = 16 << 20;  // bytes of a file of rules

std::vector<std::string> names_of(const auto& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

// One PATTERN=RULE or PATTERN=keep to a line; a # at the start of a line or behind a space begins a comment.
std::vector<job::TensorRule> read_rules(const std::filesystem::path& path) {
  const std::string content = read_file(path, kMaxRules);
  std::vector<job::TensorRule> rules;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < content.size(); ++number) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    std::string_view line(content.data() + begin, end - begin);
    for (std::size_t at = line.find('#'); at != std::string_view::npos; at = line.find('#', at + 1)) {
      if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') line = line.substr(0, at);
    }
    const std::string text = trimmed(line);
    if (!text.empty()) rules.push_back({text, fmt::format("{}:{}", path.native(), number + 1)});
    begin = end + 1;
  }
  return rules;
}

class Quantize : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_path(app, "IN", request_.in, "A model directory, or one .safetensors file")->required();
    add_path(app, "OUT", request_.out, "What to write: a directory or a file, as IN is")->required();
    declare_numbers(app);
    declare_selection(app);
    const char* const group = "What to write";
    std::vector<std::string> formats;
    for (const Convention& convention : conventions()) {
      if (!convention.own_files) formats.emplace_back(convention.name);
    }
    add_choice(app, "--format", request_.format, formats, "FORMAT",
               "Names and layout of the quantised tensors (default: what suits the model)")
        ->group(group);
    app.add_flag("!--no-card", request_.card, "Write no README.md that says what was done")->group(group);
    app.add_flag("--dry-run", dry_run_,
                 "Write nothing: show the plan, and check that it could be carried out")
        ->group(group);
    add_job_options(app, request_.options);
    add_timeout(app, request_.options.timeout);
    add_device(app);
    app.footer(
        "  mxfp4 quantize model model-mxfp4\n"
        "  mxfp4 quantize model model-mxfp4 --dry-run\n"
        "  mxfp4 quantize model model-mxfp4 --scale rceil --exclude 'model.layers.0.*'\n"
        "  mxfp4 quantize model model-mxfp4 --tensor '*.down_proj=even'\n"
        "  mxfp4 quantize expanded model-mxfp4 --reference original-mxfp4\n"
        "  mxfp4 quantize weights.safetensors weights-mxfp4.safetensors --json");
  }

  Over over() const noexcept override { return Over::team; }
  void join(Ranks& ranks) override { join_team(ranks, request_.options); }

  void run(Console& console) override {
    open_device();
    ProgressBar progress(console);
    complete_request();
    request_.options.progress = &progress;
    request_.options.stop = &stop_flag();
    const job::QuantizeReport report = dry_run_ ? job::plan_quantize(request_) : job::run_quantize(request_);
    progress.wipe();
    if (console.json) return console.print_json(quantize_json(report, !dry_run_));
    if (console.quiet) return;
    console.print(dry_run_ ? plan_text(request_, report, console.out)
                           : summary_text(request_, report, console.out));
  }

 private:
  void declare_numbers(CLI::App& app) {
    const char* const group = "How numbers become codes";
    CLI::Option* const preset = add_choice(app, "--preset", preset_, names_of(presets()), "PRESET",
                                           "Quantise as a project does (default: mxfp4)");
    CLI::Option* const scale =
        add_choice(app, "--scale", scale_, names_of(kScaleRules), "RULE",
                   "How a block's scale is chosen (default: optimal; mxfp4 info says who uses which)");
    CLI::Option* const ties = add_choice(app, "--ties", ties_, {"even", "zero", "away"}, "TIES",
                                         "Where a value halfway goes (default: even)");
    CLI::Option* const nonfinite =
        add_choice(app, "--nonfinite", nonfinite_, {"error", "nan_block", "saturate", "preset"}, "POLICY",
                   "What NaN and infinity become (default: error)");
    CLI::Option* const reference = add_path(
        app, "--reference", request_.reference,
        "The MXFP4 original of IN: its scales are kept where they are as good, so that its bytes return");
    scale->excludes(preset);
    ties->excludes(preset);
    CLI::Option* const imatrix = add_path(app, "--imatrix", request_.imatrix,
                                          "How much each input column matters (llama.cpp's imatrix files, or "
                                          "safetensors): the rule optimal then minimises the weighted error");
    for (CLI::Option* option : {preset, scale, ties, nonfinite, reference, imatrix}) option->group(group);
  }

  void declare_selection(CLI::App& app) {
    const char* const group = "Which tensors, by exact name, dotted prefix, glob or re:EXPRESSION";
    add_repeated(app, "--include", request_.include, "PATTERN", "Quantise only what is named")->group(group);
    add_repeated(app, "--exclude", request_.exclude, "PATTERN", "Keep what is named")->group(group);
    add_repeated(
        app, "--tensor", tensor_rules_, "PATTERN=RULE",
        "Quantise what is named by another rule, or =keep it; the last one that names a tensor decides")
        ->group(group);
    add_repeated(app, "--rules", rule_files_, "FILE",
                 "Such PATTERN=RULE lines from a file, before those of --tensor")
        ->group(group);
  }

  void complete_request() {
    const Preset& preset = preset_.empty() ? presets().front() : *find_preset(preset_);
    request_.recipe = preset.recipe;
    if (!scale_.empty()) request_.recipe.scale = *parse_scale_rule(scale_);
    if (!ties_.empty()) request_.recipe.ties = *parse_ties(ties_);
    if (nonfinite_ != "preset") request_.recipe.nonfinite = *parse_nonfinite(nonfinite_);
    for (const std::string& file : rule_files_) {
      const std::vector<job::TensorRule> rules = read_rules(file);
      request_.tensor_rules.insert(request_.tensor_rules.end(), rules.begin(), rules.end());
    }
    for (const std::string& rule : tensor_rules_) request_.tensor_rules.push_back({rule, "--tensor"});
  }

  job::QuantizeRequest request_;
  std::string preset_, scale_, ties_, nonfinite_ = "error";
  std::vector<std::string> tensor_rules_, rule_files_;
  bool dry_run_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_quantize() {
  return std::make_unique<Quantize>();
}

}  // namespace mxfp4::cli
