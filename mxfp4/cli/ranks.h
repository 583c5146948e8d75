// The tool as one of several ranks: who speaks, and how all end together.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mxfp4/base/error.h"
#include "mxfp4/cli/console.h"
#include "mxfp4/comm/communicator.h"
#include "mxfp4/job/team.h"

namespace mxfp4::cli {

class Ranks {
 public:
  /// What the launcher says: alone without one. Every rank but the first is made silent. Throws what
  /// start_communicator() throws.
  explicit Ranks(Console& console);

  int size() const noexcept { return communicator_->size(); }
  bool several() const noexcept { return size() > 1; }
  /// For a verb whose work they share; null for one rank.
  job::Team* team() noexcept { return team_.get(); }

  /// Ends the team, so that the verb has the communicator for itself. What the ranks were asked for is
  /// compared first, since nothing can be agreed on any more: throws what job::check_same_job() throws.
  Communicator& take_communicator(const std::vector<std::pair<std::string, std::string>>& asked);

  /// All has gone well here: waits until it has everywhere.
  void leave();

  /// Ends together after an error: returns what the first rank is to say, with the rank that it comes from
  /// unless all ranks have failed alike.
  std::string fail(ErrorCode code, const std::string& message, int status);

 private:
  void end_all(ErrorCode code, const std::string& message, int status) noexcept;

  Console& console_;
  std::unique_ptr<Communicator> communicator_;
  std::unique_ptr<job::Team> team_;
  bool taken_ = false;
};

}  // namespace mxfp4::cli
