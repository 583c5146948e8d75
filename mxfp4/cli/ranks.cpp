#include "mxfp4/cli/ranks.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "mxfp4/comm/start.h"

namespace mxfp4::cli {
namespace {

constexpr int kLost = 3;
constexpr auto kWait = std::chrono::milliseconds(500);
constexpr int kMostWaits = 4;

}  // namespace

Ranks::Ranks(Console& console) : console_(console), communicator_(start_communicator()) {
  if (!several()) return;
  console.silent = communicator_->rank() > 0;
  team_ = std::make_unique<job::Team>(
      *communicator_, [this](const Error& error) { end_all(error.code(), error.what(), kLost); });
}

void Ranks::end_all(ErrorCode code, const std::string& message, int status) noexcept {
  // The lowest rank that is there, or has failed as well, speaks, and then ends the others.
  std::this_thread::sleep_for(std::min(communicator_->rank(), kMostWaits) * kWait);
  console_.silent = false;
  try {
    console_.failure(code, message);
  } catch (...) {  // nobody reads
  }
  communicator_->abort(status);
}

Communicator& Ranks::take_communicator(const std::vector<std::pair<std::string, std::string>>& asked) {
  job::check_same_job(*team_, asked);
  team_->leave();
  team_.reset();
  taken_ = true;
  return *communicator_;
}

void Ranks::leave() {
  if (team_ != nullptr) team_->leave();
}

std::string Ranks::fail(ErrorCode code, const std::string& message, int status) {
  if (!several()) return message;
  const std::string named = fmt::format("rank {}: {}", communicator_->rank(), message);
  if (taken_) end_all(code, named, status);
  const bool alike = team_->fail(Error(code, message));
  return alike || message.starts_with("rank ") ? message : named;
}

}  // namespace mxfp4::cli
