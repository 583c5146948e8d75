#include <algorithm>
#include <cstring>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mxfp4/base/error.h"
#include "mxfp4/cli/bench_kinds.h"
#include "mxfp4/cli/options.h"
#include "mxfp4/cli/verb.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::cli {
namespace {

constexpr std::uint64_t kMost = 1 << 24;

struct Kind {
  const char* name;
  BenchReport (*run)(const BenchOptions&);
  const char* options;  ///< that it has besides --threads, each between blanks
};
constexpr Kind kKinds[] = {
    {"quantize", bench_quantize, " --rows --cols --dtype --preset --scale --device "},
    {"dequantize", bench_dequantize, " --rows --cols --dtype --preset --scale --device "},
    {"linear", bench_linear, " --rows --cols --tokens --activation --dtype --outliers --no-pack --device "},
    {"experts", bench_experts,
     " --like --tokens --activation --dtype --outliers --no-pack --share --device "},
    {"pack", bench_pack, " --rows --cols "},
};

std::vector<std::string> names_of(const auto& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

class Bench : public Verb {
 public:
  void declare(CLI::App& app) override {
    app_ = &app;
    app.add_option("WHAT", what_, "quantize, dequantize, linear, experts or pack")
        ->required()
        ->check(CLI::IsMember(names_of(kKinds)));
    add_number(app, "--rows", options_.rows, 1, kMost, "Rows of the matrix (default: 8192; layers: 4096)");
    add_number(app, "--cols", options_.columns, 1, kMost, "Its columns (default: as --rows)");
    add_number(app, "--threads", options_.threads, 1, 1024, "Threads to use (default: 1)");
    add_device(app);
    add_choice(app, "--dtype", options_.dtype, {"f32", "bf16", "f16"}, "DTYPE",
               "Dense elements: the matrix (default: bf16), or what goes into a layer and comes out of it "
               "(default: f32)");
    const char* const codec = "quantize and dequantize";
    CLI::Option* const preset = add_choice(app, "--preset", preset_, names_of(presets()), "PRESET",
                                           "How to quantise (default: mxfp4)");
    preset->group(codec);
    add_choice(app, "--scale", scale_, names_of(kScaleRules), "RULE", "How scales are chosen")
        ->excludes(preset)
        ->group(codec);
    const char* const layer = "linear and experts";
    add_choice(app, "--like", options_.like, models_of_experts(), "MODEL",
               "Whose experts (default: gpt-oss-20b)")
        ->group(layer);
    add_number(app, "--tokens", options_.tokens, 1, 1 << 20, "Rows that are multiplied at once (default: 1)")
        ->group(layer);
    add_choice(app, "--activation", activation_, {kActivations.begin(), kActivations.end()}, "ACTIVATION",
               "How they enter the product (default: exact)")
        ->group(layer);
    app.add_flag("--outliers", options_.outliers, "Make one in 128 of their channels a thousand times larger")
        ->group(layer);
    app.add_flag("!--no-pack", options_.packed, "Use the weights where they lie, without a packed copy")
        ->group(layer);
    add_choice(app, "--share", options_.share, {"experts", "channels"}, "WHAT",
               "What ranks under mpirun have of the experts: some of them, or some channels of all (default: "
               "experts)")
        ->group(layer);
    app.footer(
        "  mxfp4 bench quantize --dtype f32 --scale t725\n"
        "  mxfp4 bench linear --rows 5760 --cols 2880 --tokens 4 --activation int8 --threads 2\n"
        "  mxfp4 bench experts --like gpt-oss-120b --tokens 1 --activation int8 --threads 2\n"
        "  mxfp4 bench pack --json");
  }

  Over over() const noexcept override { return Over::ranks; }
  /// Refuses what can be refused as long as that is said once.
  void join(Ranks& ranks) override {
    if (what_ != "experts") {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("bench {} is nothing for {} ranks; bench experts is", what_, ranks.size()));
    }
    if (app_->count("--no-pack") > 0) {
      throw Error(ErrorCode::invalid_argument, "bench experts: --no-pack is for one rank");
    }
    checked_kind();
    bench_shards(options_, ranks.size());
    std::vector<std::pair<std::string, std::string>> asked;
    for (const CLI::Option* const option : app_->get_options()) {
      asked.emplace_back(option->get_name(), option->count() == 0
                                                 ? "not given"
                                                 : fmt::format("{}", fmt::join(option->results(), " ")));
    }
    options_.ranks = &ranks.take_communicator(asked);
  }

  void run(Console& console) override {
    const Kind& kind = checked_kind();
    if (options_.ranks == nullptr && app_->count("--share") > 0) {
      throw Error(ErrorCode::invalid_argument, "bench experts: --share is for several ranks, under mpirun");
    }
    if (!preset_.empty()) options_.recipe = find_preset(preset_)->recipe;
    if (!scale_.empty()) options_.recipe.scale = *parse_scale_rule(scale_);
    const auto activation = std::find(kActivations.begin(), kActivations.end(), activation_);
    options_.activation = static_cast<kernel::Activation>(activation - kActivations.begin());
    const BenchReport report = kind.run(options_);
    if (console.json) return console.print_json(report.json);
    if (!console.quiet) console.print(report.table.text(console.out));
    for (const std::string& warning : report.warnings) console.warn(warning);
  }

 private:
  const Kind& checked_kind() const {
    const Kind& kind =
        *std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& k) { return k.name == what_; });
    refuse_options_of_others(kind);
    open_device();
    return kind;
  }

  void refuse_options_of_others(const Kind& kind) const {
    for (const Kind& other : kKinds) {
      std::istringstream names(other.options);
      for (std::string name; names >> name;) {
        const bool of_kind = std::string_view(kind.options).find(" " + name + " ") != std::string::npos;
        if (app_->count(name) == 0 || of_kind) continue;
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("bench {}: {} is for {}", what_, name, other.name));
      }
    }
  }

  CLI::App* app_ = nullptr;
  BenchOptions options_;
  std::string what_, preset_, scale_, activation_ = kActivations.front();
};

}  // namespace

Dtype dense_dtype(const std::string& name) noexcept {
  return name == "f32" ? Dtype::f32 : name == "f16" ? Dtype::f16 : Dtype::bf16;
}

void write_element(float x, Dtype dtype, std::byte* to) noexcept {
  const std::uint16_t half = dtype == Dtype::f16 ? f32_to_f16(x) : f32_to_bf16(x);
  dtype == Dtype::f32 ? std::memcpy(to, &x, sizeof x) : std::memcpy(to, &half, sizeof half);
}

std::unique_ptr<Verb> make_bench() {
  return std::make_unique<Bench>();
}

}  // namespace mxfp4::cli
