// A directory that appears whole or not at all.
#pragma once

#include <filesystem>

namespace mxfp4::job {

/// A directory under a temporary name beside its final one. Dropped before commit(), it is deleted.
class Staging {
 public:
  /// Makes the temporary directory, empty. Throws Error io, also if another process is writing the same
  /// output.
  explicit Staging(const std::filesystem::path& final);
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging();

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Gives the directory its name. What stood there is replaced in one step, then deleted.
  void commit();

 private:
  std::filesystem::path final_, path_;
  int lock_ = -1;
};

}  // namespace mxfp4::job
