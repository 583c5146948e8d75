// Progress of a job on stderr: a bar on a terminal, a line now and then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "mxfp4/cli/console.h"
#include "mxfp4/job/progress.h"

namespace mxfp4::cli {

/// One line: share, bar, bytes, rate, time left. `bar_screen` says how wide it may be and in which
/// characters.
std::string progress_line(std::uint64_t done, std::uint64_t total, double seconds, const Screen& bar_screen);

/// What a job reports, shown. The bar is wiped out when the object goes.
class ProgressBar : public job::Progress {
 public:
  explicit ProgressBar(Console& console) : console_(console) {}
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() override { wipe(); }

  void advance(std::uint64_t done, std::uint64_t total) override;
  void warn(const std::string& message) override;
  /// Clears the line that a bar stands on.
  void wipe();

 private:
  using Clock = std::chrono::steady_clock;

  Console& console_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = start_;  ///< when something was last shown
  bool on_screen_ = false;
};

}  // namespace mxfp4::cli
