// Files: mapped for reading, written under a temporary name until they are whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "mxfp4/base/lost_pages.h"

namespace mxfp4 {

/// When a file was last written, and how long it is: what tells that it has been changed since.
struct FileStamp {
  std::uint64_t size = 0;                ///< bytes
  std::int64_t modified = 0;             ///< nanoseconds since 1970
  std::uint64_t device = 0, number = 0;  ///< which file stands under the name

  bool operator==(const FileStamp&) const = default;
};

/// Throws Error io.
FileStamp stamp_of(const std::filesystem::path& path);

/// Size and time: "4096 bytes, written 2026-01-31 12:00:00.000000001".
std::string to_string(const FileStamp& stamp);

/// A file mapped for reading. Movable; the bytes live as long as the object.
/// Reading from several threads is safe.
class MappedFile {
 public:
  /// Throws Error io if `path` cannot be opened or is not a regular file.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::filesystem::path& path() const noexcept { return path_; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

  /// Tells the system that `part` of bytes() will be read soon, or that it is done with and its pages may go.
  void will_need(std::span<const std::byte> part) const noexcept;
  void done_with(std::span<const std::byte> part) const noexcept;

  /// The file as it was when it was mapped.
  const FileStamp& stamp() const noexcept { return stamp_; }

  /// Throws Error io if the file has been written to since, or if pages of it could not be read. A file that
  /// was replaced or deleted is still mapped as it was.
  void check_unchanged() const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  FileStamp stamp_;
  WatchedRange watched_;
};

/// Ends the name of what is being written and is not whole yet.
inline constexpr std::string_view kPartialSuffix = ".mxfp4-partial";

/// A file being written. It has a temporary name beside its own until commit(); one that is dropped before
/// that is deleted, so that what stands under the final name is always whole.
class OutputFile {
 public:
  /// Creates the temporary file with `size` bytes reserved. Throws Error io, also when the disk cannot hold
  /// it.
  OutputFile(const std::filesystem::path& path, std::uint64_t size);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// Writes at `offset`. Several threads may write to parts of the file that do not overlap. Throws Error io.
  void write(std::uint64_t offset, std::span<const std::byte> bytes);

  /// Syncs the data, gives the file its name and syncs the directory. Throws Error io.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

/// Writes a small file whole, through OutputFile.
void write_file(const std::filesystem::path& path, std::string_view content);

/// The content of a file of at most `limit` bytes. Throws Error io, or corrupt_file when it is longer.
std::string read_file(const std::filesystem::path& path, std::size_t limit);

/// Syncs a directory, so that renames in it last.
void sync_directory(const std::filesystem::path& directory);

}  // namespace mxfp4
