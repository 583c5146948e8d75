#include "mxfp4/cli/options.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mxfp4/base/device.h"
#include "mxfp4/base/error.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/kernel/device.h"

namespace mxfp4::cli {
namespace {

constexpr int kMostThreads = 1024;

CLI::Option* add_size(CLI::App& app, const std::string& name, std::uint64_t& value,
                      const std::string& description) {
  const auto store = [&value, name](const std::string& text) {
    try {
      value = parse_size(text);
    } catch (const Error& error) {
      throw CLI::ValidationError(name, error.what());
    }
  };
  return app.add_option_function<std::string>(name, store, description)->type_name("SIZE");
}

}  // namespace

CLI::Option* add_path(CLI::App& app, const std::string& name, std::filesystem::path& path,
                      const std::string& description) {
  return app.add_option(name, path, description)->type_name("PATH")->check([](const std::string& text) {
    return text.empty() ? "a path is empty" : "";
  });
}

void add_job_options(CLI::App& app, job::Options& options) {
  const char* const group = "How it runs";
  add_number(app, "--threads", options.threads, 1, kMostThreads, "Threads to use (default: all processors)")
      ->group(group);
  add_size(app, "--max-memory", options.max_memory,
           "Bound of the memory in use; K, M, G are powers of 1024 (default: 2G)")
      ->group(group);
  add_size(app, "--max-shard", options.max_shard, "Bound of each file of a model directory (default: 5 GB)")
      ->group(group);
  app.add_flag("--resume", options.resume,
               "Go on where an earlier run of the same command was cut short; a shard that is whole is kept")
      ->group(group);
  app.add_flag("--overwrite", options.overwrite, "Replace OUT, once the new one is whole")->group(group);
}

void add_timeout(CLI::App& app, std::chrono::seconds& timeout) {
  constexpr int kDay = 86'400;
  app.add_option_function<int>(
         "--timeout", [&timeout](int seconds) { timeout = std::chrono::seconds(seconds); },
         "Under mpirun: seconds for which a rank may be out of touch, or get no further (default: 300)")
      ->type_name("N")
      ->check(CLI::Range(1, kDay).description(""))
      ->group("How it runs");
}

void join_team(Ranks& ranks, job::Options& options) {
  options.team = ranks.team();
  options.team->set_timeout(options.timeout);
}

void add_device(CLI::App& app) {
  const auto store = [](const std::string& text) {
    try {
      ::setenv("MXFP4_DEVICE", to_string(parse_device(text)).c_str(), 1);
    } catch (const Error& error) {
      throw CLI::ValidationError("--device", error.what());
    }
  };
  app.add_option_function<std::string>(
         "--device", store,
         "What computes: cpu (the default), vulkan, cuda, or one of their devices as info lists them")
      ->type_name("DEVICE")
      ->group("How it runs");
}

void open_device() {
  if (const Device device = default_device(); !device.is_cpu()) kernel::compute_device(device);
}

CLI::Option* add_choice(CLI::App& app, const std::string& name, std::string& value,
                        std::vector<std::string> choices, const std::string& type,
                        const std::string& description) {
  const std::string all = fmt::format("{}", fmt::join(choices, ", "));
  return app.add_option(name, value, fmt::format("{}: {}", description, all))
      ->type_name(type)
      ->check([choices = std::move(choices), all](const std::string& text) {
        const bool known = std::find(choices.begin(), choices.end(), text) != choices.end();
        return known ? "" : fmt::format("'{}' is none of: {}", text, all);
      });
}

CLI::Option* add_repeated(CLI::App& app, const std::string& name, std::vector<std::string>& values,
                          const std::string& type, const std::string& description) {
  return app.add_option(name, values, description)->type_name(type)->type_size(1)->allow_extra_args(false);
}

}  // namespace mxfp4::cli
