// Signals that end a job: it is told to stop, cleans up, and the tool ends with 128 + the signal.
#pragma once

#include <atomic>

namespace mxfp4::cli {

/// From now on SIGINT, SIGTERM and SIGHUP set the stop flag; a closed pipe, and a file that may not grow, are
/// errors of write().
void install_signal_handlers();

/// Set once such a signal has come.
const std::atomic<bool>& stop_flag() noexcept;

/// The signal that set the flag, or 0.
int stop_signal() noexcept;

}  // namespace mxfp4::cli
