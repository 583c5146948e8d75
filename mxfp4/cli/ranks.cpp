#include "mxfp4/cli/ranks.h"

#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "mxfp4/comm/start.h"

namespace mxfp4::cli {
namespace {

constexpr int kLost = 3;

}  // namespace

Ranks::Ranks(Console& console) : console_(console), communicator_(start_communicator()) {
  if (!several()) return;
  console.silent = communicator_->rank() > 0;
  team_ = std::make_unique<job::Team>(*communicator_, [this](const Error& error) {
    // The lowest rank that is there speaks, and then ends the others.
    std::this_thread::sleep_for(communicator_->rank() * std::chrono::milliseconds(500));
    console_.silent = false;
    console_.error(error.what());
    communicator_->abort(kLost);
  });
}

void Ranks::leave() {
  if (team_ != nullptr && !taken_) team_->leave();
}

std::string Ranks::fail(ErrorCode code, const std::string& message, int status) {
  if (team_ == nullptr) return message;
  const std::string named = fmt::format("rank {}: {}", communicator_->rank(), message);
  if (taken_) {
    console_.silent = false;
    console_.error(named);
    communicator_->abort(status);
  }
  const bool alike = team_->fail(Error(code, message));
  return alike || message.starts_with("rank ") ? message : named;
}

}  // namespace mxfp4::cli
