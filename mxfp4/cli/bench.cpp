#include <fmt/format.h>

#include "mxfp4/base/context.h"
#include "mxfp4/cli/bench_codec.h"
#include "mxfp4/cli/options.h"
#include "mxfp4/cli/table.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::cli {
namespace {

constexpr std::uint64_t kMostRows = 1 << 24;

std::vector<std::string> names_of(const auto& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

class Bench : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("WHAT", what_, "quantize or dequantize")
        ->required()
        ->check(CLI::IsMember({"quantize", "dequantize"}));
    add_number(app, "--rows", bench_.rows, 1, kMostRows, "Rows of the matrix (default: 8192)");
    add_number(app, "--cols", bench_.columns, 1, kMostRows, "Its columns (default: 8192)");
    add_choice(app, "--dtype", dtype_, {"f32", "bf16", "f16"}, "DTYPE", "Its dense elements (default: bf16)");
    CLI::Option* const preset = add_choice(app, "--preset", preset_, names_of(presets()), "PRESET",
                                           "How to quantise (default: mxfp4)");
    add_choice(app, "--scale", scale_, names_of(kScaleRules), "RULE", "How scales are chosen")
        ->excludes(preset);
    add_number(app, "--threads", bench_.threads, 1, 1024, "Threads to use (default: 1)");
    app.footer(
        "  mxfp4 bench quantize --dtype f32 --scale t725\n  mxfp4 bench dequantize --threads 2 --json");
  }

  void run(Console& console) override {
    bench_.dtype = dtype_ == "f32" ? Dtype::f32 : dtype_ == "f16" ? Dtype::f16 : Dtype::bf16;
    if (!preset_.empty()) bench_.recipe = find_preset(preset_)->recipe;
    if (!scale_.empty()) bench_.recipe.scale = *parse_scale_rule(scale_);
    const CodecTimings timings = what_ == "quantize" ? time_quantize(bench_) : time_dequantize(bench_);
    if (console.json) return console.print_json(to_json(timings));
    if (!console.quiet) console.print(to_text(timings, console.out));
  }

 private:
  static double rate(const CodecTimings& timings, const Timing& timing) {
    return timings.dense_bytes / timing.seconds / 1e9;
  }

  Json to_json(const CodecTimings& timings) const {
    const Timing& limit = timings.limit();
    Json results = Json::array(), limits = Json::object();
    for (const Timing& timing : timings.cases) {
      results.push_back({{"case", timing.name},
                         {"dtype", dtype_},
                         {"rule", info(bench_.recipe.scale).name},
                         {"rows", bench_.rows},
                         {"cols", bench_.columns},
                         {"threads", bench_.threads},
                         {"isa", to_string(default_isa())},
                         {"seconds", timing.seconds},
                         {"gb_per_s", rate(timings, timing)},
                         {"limit", {{"name", limit.name}, {"value", rate(timings, limit)}}},
                         {"percent_of_limit", 100 * limit.seconds / timing.seconds}});
    }
    for (const Timing& timing : timings.limits) limits[timing.name] = rate(timings, timing);
    return {{"results", results}, {"limits", limits}};
  }

  std::string to_text(const CodecTimings& timings, const Screen& screen) const {
    const Timing& limit = timings.limit();
    Table table({{"on " + std::string(to_string(default_isa()))},
                 {"GB/s of " + dtype_, Align::right},
                 {"of the limit", Align::right}});
    for (const auto* list : {&timings.cases, &timings.limits}) {
      for (const Timing& timing : *list) {
        table.row({{timing.name},
                   {fmt::format("{:.2f}", rate(timings, timing))},
                   {fmt::format("{:.0f} %", 100 * limit.seconds / timing.seconds)}});
      }
    }
    return table.text(screen);
  }

  CodecBench bench_;
  std::string what_, dtype_ = "bf16", preset_, scale_;
};

}  // namespace

std::unique_ptr<Verb> make_bench() {
  return std::make_unique<Bench>();
}

}  // namespace mxfp4::cli
