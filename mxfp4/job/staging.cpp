#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/file.h"
#include "mxfp4/job/staging_internal.h"

namespace mxfp4::job {
namespace {

constexpr const char* kReplacedSuffix = ".mxfp4-replaced";

// Whether the open directory still has its name: another process may have given it its final one in between.
bool has_name(int descriptor, const std::filesystem::path& path) {
  struct stat named, opened;
  return stat(path.c_str(), &named) == 0 && fstat(descriptor, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

// Where the file system cannot exchange two names, there is a moment in which the old directory has neither.
void replace_in_steps(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::path old = to;
  old += kReplacedSuffix;
  if (std::rename(to.c_str(), old.c_str()) != 0) fail_io(to.native(), "replace", errno);
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno;
    std::rename(old.c_str(), to.c_str());
    fail_io(to.native(), "replace", error);
  }
  if (std::rename(old.c_str(), from.c_str()) != 0) fail_io(old.native(), "move away", errno);
}

}  // namespace

std::filesystem::path staging_path(const std::filesystem::path& final) {
  std::filesystem::path path = final;
  path += kPartialSuffix;
  return path;
}

Staging::Staging(const std::filesystem::path& final) : final_(final), path_(staging_path(final)) {
  std::error_code error;
  std::filesystem::create_directory(path_, error);
  if (error) fail_io(path_.native(), "create directory", error.value());
  lock_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (lock_ < 0) fail_io(path_.native(), "open", errno);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0 || !has_name(lock_, path_)) {
    close(lock_);
    fail(ErrorCode::io, "{}: another process is writing it", final_.native());
  }
}

Staging::~Staging() {
  if (lock_ < 0) return;
  std::error_code error;
  if (!kept_) std::filesystem::remove_all(path_, error);
  if (error) rmdir(path_.c_str());  // an empty one goes even where nothing is left to open it with
  close(lock_);
}

void Staging::commit(bool replace) {
  sync_directory(path_);
  if (std::rename(path_.c_str(), final_.c_str()) == 0) {  // also onto an empty directory
    close(std::exchange(lock_, -1));
  } else if (!replace) {
    fail_io(final_.native(), "finish", errno);
  } else {
    if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, final_.c_str(), RENAME_EXCHANGE) != 0) {
      replace_in_steps(path_, final_);
    }
    kept_ = false;  // the old directory has the temporary name now, and the destructor deletes it
  }
  sync_directory(final_.has_parent_path() ? final_.parent_path() : ".");
}

}  // namespace mxfp4::job
