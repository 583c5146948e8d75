// Options that several verbs have.
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "mxfp4/cli/ranks.h"
#include "mxfp4/job/progress.h"

namespace mxfp4::cli {

/// A path, which must not be empty: an option, or a positional if its name is no option's.
CLI::Option* add_path(CLI::App& app, const std::string& name, std::filesystem::path& path,
                      const std::string& description);

/// What a path of a model can be, where all that is read will do.
inline constexpr const char* kAnyModel = "A model directory, or one .safetensors, .gguf or .uqff file";

/// --threads, --max-memory, --max-shard, --resume, --overwrite.
void add_job_options(CLI::App& app, job::Options& options);

/// --device, which is MXFP4_DEVICE for this run.
void add_device(CLI::App& app);

/// Opens the device of this run, before there is anything to lose. Throws Error if it cannot be used.
void open_device();

/// --timeout, of ranks.
void add_timeout(CLI::App& app, std::chrono::seconds& timeout);

/// The ranks share what is done with these options.
void join_team(Ranks& ranks, job::Options& options);

/// An option whose value is one of `choices`.
CLI::Option* add_choice(CLI::App& app, const std::string& name, std::string& value,
                        std::vector<std::string> choices, const std::string& type,
                        const std::string& description);

/// An option that may be given several times, one value each.
CLI::Option* add_repeated(CLI::App& app, const std::string& name, std::vector<std::string>& values,
                          const std::string& type, const std::string& description);

/// An option whose value is a whole number between `least` and `most`, in decimal digits.
template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& name, Number& value, std::uint64_t least,
                        std::uint64_t most, const std::string& description) {
  return app.add_option(name, value, description)->type_name("N")->check([=](const std::string& text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool good =
        error == std::errc() && end == text.data() + text.size() && number >= least && number <= most;
    return good ? ""
                : "'" + text + "' is no number between " + std::to_string(least) + " and " +
                      std::to_string(most);
  });
}

}  // namespace mxfp4::cli
