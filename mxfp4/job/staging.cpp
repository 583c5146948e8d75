#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/file.h"
#include "mxfp4/job/staging_internal.h"

namespace mxfp4::job {
namespace {

// "a/b/" names the same directory as "a/b", but appending to it would name something inside.
std::filesystem::path without_slash(const std::filesystem::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

void clear(const std::filesystem::path& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    std::filesystem::remove_all(entry.path());
  }
}

}  // namespace

Staging::Staging(const std::filesystem::path& final) : final_(without_slash(final)), path_(final_) {
  path_ += kPartialSuffix;
  std::error_code error;
  std::filesystem::create_directory(path_, error);
  if (error) fail_io(path_.native(), "create directory", error.value());
  lock_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) fail_io(path_.native(), "open", errno);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    fail(ErrorCode::io, "{}: another process is writing it", final_.native());
  }
  clear(path_);  // left by a process that was killed
}

Staging::~Staging() {
  if (lock_ < 0) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
  close(lock_);
}

void Staging::commit() {
  sync_directory(path_);
  if (std::rename(path_.c_str(), final_.c_str()) == 0) {  // also onto an empty directory
    close(std::exchange(lock_, -1));
  } else if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, final_.c_str(), RENAME_EXCHANGE) != 0) {
    fail_io(final_.native(), "replace", errno);
  }  // else the old directory has the temporary name now, and the destructor deletes it
  sync_directory(final_.has_parent_path() ? final_.parent_path() : ".");
}

}  // namespace mxfp4::job
