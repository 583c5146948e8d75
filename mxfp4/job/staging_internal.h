// A directory that appears whole or not at all.
#pragma once

#include <filesystem>

namespace mxfp4::job {

/// A directory under a temporary name beside its final one. What an earlier run has left there is taken over.
/// Dropped before commit(), it is deleted, unless keep() was called.
class Staging {
 public:
  /// Makes the temporary directory, if need be. Throws Error io, also if another process is writing the same
  /// output.
  explicit Staging(const std::filesystem::path& final);
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging();

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Whether the directory outlives this object although it is not whole.
  void keep(bool kept) noexcept { kept_ = kept; }

  /// Gives the directory its name. What stands there is replaced in one step, then deleted; without `replace`
  /// only an empty directory may stand there.
  void commit(bool replace);

 private:
  std::filesystem::path final_, path_;
  int lock_ = -1;
  bool kept_ = false;
};

/// The temporary name of an output, which ends in no slash: followed() of what the user says.
std::filesystem::path staging_path(const std::filesystem::path& final);

}  // namespace mxfp4::job
