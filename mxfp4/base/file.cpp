#include "mxfp4/base/file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;  // nanoseconds

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags) : value_(open(path.c_str(), flags | O_CLOEXEC)) {
    if (value_ < 0) fail_io(path.native(), "open", errno);
  }
  ~Descriptor() { close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator int() const noexcept { return value_; }

 private:
  int value_;
};

FileStamp to_stamp(const struct stat& info) noexcept {
  return {static_cast<std::uint64_t>(info.st_size), info.st_mtim.tv_sec * kSecond + info.st_mtim.tv_nsec,
          info.st_dev, info.st_ino};
}

FileStamp regular_file(int descriptor, const std::filesystem::path& path) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) fail_io(path.native(), "stat", errno);
  if (!S_ISREG(info.st_mode)) fail(ErrorCode::io, "{}: not a regular file", path.native());
  return to_stamp(info);
}

// Whether `path` still names the open file: another process may have finished and renamed it in between.
bool names_same_file(const std::filesystem::path& path, int descriptor) {
  struct stat named, opened;
  return stat(path.c_str(), &named) == 0 && fstat(descriptor, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

void advise(std::span<const std::byte> part, bool shrink, int advice) noexcept {
  if (part.empty()) return;
  const std::uintptr_t page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(part.data());
  std::uintptr_t end = begin + part.size();
  // Pages that are only partly in `part` may be in use by a neighbour.
  begin = (shrink ? begin + page - 1 : begin) / page * page;
  end = (shrink ? end : end + page - 1) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

FileStamp stamp_of(const std::filesystem::path& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) fail_io(path.native(), "stat", errno);
  return to_stamp(info);
}

std::string to_string(const FileStamp& stamp) {
  return fmt::format("{} bytes, written {:%F %T}.{:09}", stamp.size,
                     fmt::gmtime(static_cast<std::time_t>(stamp.modified / kSecond)),
                     stamp.modified % kSecond);
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  const Descriptor descriptor(path, O_RDONLY | O_NONBLOCK);
  stamp_ = regular_file(descriptor, path);
  size_ = stamp_.size;
  if (size_ == 0) return;
  void* const data = mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0);
  if (data == MAP_FAILED) fail_io(path.native(), "map", errno);
  data_ = static_cast<const std::byte*>(data);
  watched_ = WatchedRange(bytes());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      stamp_(other.stamp_),
      watched_(std::move(other.watched_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(stamp_, other.stamp_);
  std::swap(watched_, other.watched_);
  return *this;
}

MappedFile::~MappedFile() {
  watched_ = WatchedRange();
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::will_need(std::span<const std::byte> part) const noexcept {
  advise(part, false, MADV_WILLNEED);
}

void MappedFile::done_with(std::span<const std::byte> part) const noexcept {
  advise(part, true, MADV_DONTNEED);
}

void MappedFile::check_unchanged() const {
  struct stat info;
  const FileStamp now = stat(path_.c_str(), &info) == 0 ? to_stamp(info) : FileStamp();
  const bool same_file = now.device == stamp_.device && now.number == stamp_.number;
  if (same_file && now.size != stamp_.size) {
    fail(ErrorCode::io, "{}: was changed while it was read: it had {} bytes and has {} now", path_.native(),
         stamp_.size, now.size);
  }
  if (same_file && now != stamp_) fail(ErrorCode::io, "{}: was changed while it was read", path_.native());
  if (watched_.lost_pages()) {
    fail(ErrorCode::io, "{}: a part of it could not be read: it was shortened, or the disk fails",
         path_.native());
  }
}

OutputFile::OutputFile(const std::filesystem::path& path, std::uint64_t size)
    : path_(path), temporary_(path) {
  temporary_ += kPartialSuffix;
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_io(path.native(), "create", errno);
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0 || !names_same_file(temporary_, descriptor_)) {
    close(descriptor_);
    fail(ErrorCode::io, "{}: another process is writing it", path.native());
  }
  // Reserving finds a full disk before hours of work, where the file system can reserve.
  int error = ftruncate(descriptor_, 0) == 0 ? 0 : errno;
  if (error == 0 && size > 0 && fallocate(descriptor_, 0, 0, static_cast<off_t>(size)) != 0) error = errno;
  const bool reserved = error != EOPNOTSUPP && error != ENOSYS;
  const bool failed = reserved ? error != 0 : ftruncate(descriptor_, static_cast<off_t>(size)) != 0;
  if (failed) {
    const int reason = reserved ? error : errno;
    close(descriptor_);
    unlink(temporary_.c_str());
    fail_io(path.native(), fmt::format("reserve {} bytes", size), reason);
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void OutputFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      fail_io(path_.native(), fmt::format("write {} bytes at {}", bytes.size(), offset), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
}

void OutputFile::commit() {
  if (fsync(descriptor_) != 0) fail_io(path_.native(), "sync", errno);
  const int closed = close(std::exchange(descriptor_, -1));
  const int error = closed != 0 ? errno : std::rename(temporary_.c_str(), path_.c_str()) != 0 ? errno : 0;
  if (error != 0) {
    unlink(temporary_.c_str());
    fail_io(path_.native(), "finish", error);
  }
  sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  OutputFile file(path, content.size());
  file.write(0, std::as_bytes(std::span(content)));
  file.commit();
}

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
  const Descriptor descriptor(path, O_RDONLY | O_NONBLOCK);
  const std::uint64_t size = regular_file(descriptor, path).size;
  if (size > limit) {
    fail(ErrorCode::corrupt_file, "{}: {} bytes, more than the {} that such a file may have", path.native(),
         size, limit);
  }
  std::string content(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = read(descriptor, content.data() + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_io(path.native(), "read", errno);
    if (count == 0) fail(ErrorCode::io, "{}: became shorter while it was read", path.native());
    done += static_cast<std::size_t>(count);
  }
  return content;
}

void sync_directory(const std::filesystem::path& directory) {
  const Descriptor descriptor(directory, O_RDONLY | O_DIRECTORY);
  // Some file systems cannot sync a directory and say EINVAL; there is nothing to be done about that.
  if (fsync(descriptor) != 0 && errno != EINVAL) fail_io(directory.native(), "sync", errno);
}

}  // namespace mxfp4
