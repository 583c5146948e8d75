// A job that writes files, as Python waits for it: with progress, warnings, and Ctrl-C.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>

#include "mxfp4/base/error.h"
#include "mxfp4/job/progress.h"
#include "mxfp4/python/arguments_internal.h"
#include "mxfp4/python/arrays_internal.h"

namespace mxfp4::python {

/// What every job that writes a checkpoint can be told; `threads` 0: all.
inline job::Options job_options(int threads, std::uint64_t max_memory, std::uint64_t max_shard,
                                bool overwrite, bool resume) {
  job::Options options;
  options.threads = context_of(threads).threads;
  options.max_memory = max_memory;
  options.max_shard = max_shard;
  options.overwrite = overwrite;
  options.resume = resume;
  return options;
}

/// Takes what a job says on its threads, for the thread that waits for it.
class Relay : public job::Progress {
 public:
  void advance(std::uint64_t done, std::uint64_t total) override {
    done_ = done;
    total_ = total;
  }
  void warn(const std::string& message) override {
    const std::lock_guard lock(mutex_);
    warnings_.push_back(message);
  }

  /// Calls progress(done, total), unless it is None or nothing is new, and raises warnings. Under the GIL.
  void tell(nanobind::handle progress) {
    std::vector<std::string> warnings;
    {
      const std::lock_guard lock(mutex_);
      warnings.swap(warnings_);
    }
    for (const std::string& warning : warnings) {
      const std::string said = in_python(warning);
      if (PyErr_WarnEx(PyExc_UserWarning, said.c_str(), 1) != 0) throw nanobind::python_error();
    }
    const std::uint64_t done = done_;
    if (progress.is_none() || done == told_) return;
    told_ = done;
    progress(done, total_.load());
  }

 private:
  std::atomic<std::uint64_t> done_{0}, total_{0};
  std::uint64_t told_ = 0;
  std::mutex mutex_;
  std::vector<std::string> warnings_;
};

/// Waits for a job that was told to stop; what it says of that, unless it is nothing more.
template <class Result>
std::string last_words(std::future<Result>& result) {
  const nanobind::gil_scoped_release release;
  try {
    result.get();
  } catch (const Error& error) {
    if (error.what() != std::string_view("stopped")) return in_python(error.what());
  } catch (const std::exception&) {  // what Python raised is to be known, not this
  }
  return {};
}

/// Runs work() on a thread of its own; this one looks after Python meanwhile: signals, progress(done, total),
/// warnings. If one of them raises, the job is told to stop, and the exception goes on, with a note if it has
/// left what `resume` goes on from. `options` must be those of the job.
template <class Work>
auto run_job(job::Options& options, nanobind::handle progress, const Work& work) {
  constexpr std::chrono::milliseconds kLook{50};
  std::atomic<bool> stop{false};
  Relay relay;
  options.progress = &relay;
  options.stop = &stop;
  auto result = std::async(std::launch::async, work);
  const auto wait = [&](std::chrono::milliseconds time) {
    const nanobind::gil_scoped_release release;
    return result.wait_for(time) == std::future_status::ready;
  };
  try {
    while (!wait(kLook)) {
      if (PyErr_CheckSignals() != 0) throw nanobind::python_error();
      relay.tell(progress);
    }
    relay.tell(progress);
  } catch (nanobind::python_error& raised) {
    stop = true;
    const std::string note = last_words(result);
    if (!note.empty()) raised.value().attr("add_note")(note.c_str());
    throw;
  }
  try {
    return result.get();
  } catch (const Error& error) {
    throw Error(error.code(), in_python(error.what()));
  }
}

}  // namespace mxfp4::python
