#pragma once

/// @file
/// An open file for streams, which bypasses the page cache where that is possible.

#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/transfer/transfer.hpp>
#include <asioq/options.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace asioq {

/// Whether transfers of a file are to bypass the page cache (O_DIRECT).
enum class direct_io {
  required,   ///< They do, or opening and the streams throw.
  preferred,  ///< They do if the file system supports it. Otherwise they use the page cache; `is_direct()` is false.
  off         ///< They go through the page cache.
};

namespace detail {

/// What the offsets and lengths of the descriptor's direct transfers must be multiples of. 0 if the file does not
/// support direct transfers, or none into a request's buffer. Source: statx(2).
inline std::size_t direct_alignment_of([[maybe_unused]] int fd, [[maybe_unused]] bool is_for_reading) noexcept {
#ifdef STATX_DIOALIGN
  unsigned wanted = STATX_DIOALIGN;
#ifdef STATX_DIO_READ_ALIGN
  if (is_for_reading) wanted |= STATX_DIO_READ_ALIGN;
#endif
  struct statx answer;
  if (::statx(fd, "", AT_EMPTY_PATH, wanted, &answer) == 0 && (answer.stx_mask & STATX_DIOALIGN) != 0) {
    if (answer.stx_dio_mem_align > buffer_alignment) return 0;
#ifdef STATX_DIO_READ_ALIGN
    if (is_for_reading && (answer.stx_mask & STATX_DIO_READ_ALIGN) != 0 && answer.stx_dio_read_offset_align != 0)
      return answer.stx_dio_read_offset_align;
#endif
    return answer.stx_dio_offset_align;
  }
#endif
  return largest_sector;  // the file system does not say
}

/// Sets or clears O_DIRECT of the descriptor. Returns whether the kernel has accepted that.
inline bool set_direct([[maybe_unused]] int fd, [[maybe_unused]] bool on) noexcept {
#ifdef O_DIRECT
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
#else
  return !on;
#endif
}

/// The size of a disk in bytes, or -1 with the reason in errno. Moves the descriptor's position for a moment.
inline off_t size_of_disk(int fd) noexcept {
  const off_t before = ::lseek(fd, 0, SEEK_CUR);
  const off_t end = ::lseek(fd, 0, SEEK_END);
  return before < 0 || end < 0 || ::lseek(fd, before, SEEK_SET) < 0 ? -1 : end;
}

}  // namespace detail

/// Owns the descriptor of an open file. Move-only; a moved-from file is closed.
///
/// Transfers are direct only on a disk, or on a regular file whose file system accepts O_DIRECT. Some file systems
/// accept the flag and then refuse every transfer. The streams find that out at their first transfer. They repeat it
/// through the page cache unless `direct_io::required` forbids that; `is_direct()` is false from then on.
///
/// **Errors** are `std::system_error`. Their text names the operation and the path.
///
/// **Lifetime.** Streams use the descriptor's number and refer to the `file`. The `file` must stay open, and must not
/// be moved, while a stream or a request uses it. With O_DIRECT, do not fork(2) while requests are unfinished. Source:
/// open(2).
///
/// **Threads.** One thread at a time.
class file {
 public:
  /// Opens an existing file for reading. Opening a fifo waits for its writer.
  [[nodiscard]] static file open_for_reading(std::filesystem::path path, direct_io mode = direct_io::preferred) {
    return {std::move(path), "reading", O_RDONLY, mode};
  }

  /// Creates the file, or empties an existing one, for reading and writing. The permissions of a new file are 0666
  /// without the bits of umask(2). Until its directory has been synced, its name may vanish in a power cut. A fifo is
  /// opened for writing only, and opening it waits for its reader.
  [[nodiscard]] static file create(std::filesystem::path path, direct_io mode = direct_io::preferred) {
    file made(std::move(path), "writing", O_RDWR | O_CREAT, mode);
    made.empty();
    return made;
  }

  /// Opens the file for reading and writing, and keeps its contents. If it is missing, creates it as `create` does. A
  /// fifo is opened as `create` does, too.
  [[nodiscard]] static file open_for_writing(std::filesystem::path path, direct_io mode = direct_io::preferred) {
    return {std::move(path), "writing", O_RDWR | O_CREAT, mode};
  }

  /// Takes the descriptor. `other` is closed then.
  file(file&& other) noexcept
      : path_(std::move(other.path_)),
        fd_(std::exchange(other.fd_, -1)),
        alignment_(std::exchange(other.alignment_, 1)),
        is_direct_(std::exchange(other.is_direct_, false)),
        is_required_(other.is_required_) {}

  /// Closes what it had, as the destructor does.
  file& operator=(file&& other) noexcept {
    file taken(std::move(other));
    std::swap(path_, taken.path_);
    std::swap(fd_, taken.fd_);
    std::swap(alignment_, taken.alignment_);
    std::swap(is_direct_, taken.is_direct_);
    std::swap(is_required_, taken.is_required_);
    return *this;
  }

  /// Closes the descriptor, and ignores an error of close(2).
  ~file() {
    if (fd_ >= 0) ::close(fd_);
  }

  /// The descriptor; -1 once it is closed.
  [[nodiscard]] int fd() const noexcept { return fd_; }

  /// The path that it was opened with.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// The current size of the file or the disk, in bytes; 0 for what has no size. Asks the kernel. On a disk the call
  /// moves the descriptor's position for a moment.
  [[nodiscard]] std::uint64_t size() const {
    struct stat status;
    if (::fstat(fd_, &status) != 0) fail("asking for the size of");
    if (!S_ISBLK(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
    const off_t size = detail::size_of_disk(fd_);
    if (size < 0) fail("asking for the size of");
    return static_cast<std::uint64_t>(size);
  }

  /// Whether its transfers bypass the page cache.
  [[nodiscard]] bool is_direct() const noexcept { return is_direct_; }

  /// What offsets and lengths of its transfers must be multiples of, in bytes: what the file system says, or 4096 if it
  /// does not say; 1 if the transfers do not bypass the page cache.
  [[nodiscard]] std::size_t alignment() const noexcept { return alignment_; }

  /// Closes the descriptor and throws the error of close(2), which may be the first to report that a write was lost.
  /// The descriptor is closed even then. Without effect if it is closed already.
  void close() {
    const int fd = std::exchange(fd_, -1);
    is_direct_ = false;
    alignment_ = 1;
    if (fd >= 0 && ::close(fd) != 0) fail("closing");
  }

  /// Switches its transfers to the page cache. Streams call this when a direct transfer was refused (EINVAL). Throws
  /// that error if the file was opened with `direct_io::required`.
  void use_page_cache() const {
    if (is_required_) fail(EINVAL, "direct I/O on");
    if (!detail::set_direct(fd_, false)) fail("switching to the page cache for");
    is_direct_ = false;
    alignment_ = 1;
  }

 private:
  file(std::filesystem::path path, const char* purpose, int flags, direct_io mode)
      : path_(std::move(path)), is_required_(mode == direct_io::required) {
    const std::string what = std::string("opening for ") + purpose;
    std::error_code ignored;  // open(2) reports it
    // A write to a fifo would not fail when its other readers are gone if this descriptor could read, too.
    if (flags != O_RDONLY && std::filesystem::is_fifo(path_, ignored)) flags = O_WRONLY;
    do {
      fd_ = ::open(path_.c_str(), flags | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) fail(what.c_str());
    if (mode == direct_io::off || become_direct(flags == O_RDONLY)) return;
    if (!is_required_) return;
    ::close(std::exchange(fd_, -1));  // a constructor that throws has no destructor
    fail(EINVAL, (what + " with direct I/O").c_str());
  }

  /// Returns whether transfers bypass the page cache now. The flag is set after open(2), since on a fifo it would mean
  /// something else, and since an open(2) that fails because of the flag may have made the file.
  bool become_direct(bool is_for_reading) noexcept {
    struct stat status;
    if (::fstat(fd_, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))) return false;
    const std::size_t alignment = detail::direct_alignment_of(fd_, is_for_reading);
    if (alignment == 0 || !detail::set_direct(fd_, true)) return false;
    is_direct_ = true;
    alignment_ = alignment;
    return true;
  }

  /// As O_TRUNC, but only once it is certain that the file can be used.
  void empty() const {
    struct stat status;
    if (::fstat(fd_, &status) != 0 || (S_ISREG(status.st_mode) && ::ftruncate(fd_, 0) != 0)) fail("emptying");
  }

  [[noreturn]] void fail(const char* what) const { fail(errno, what); }

  [[noreturn, gnu::cold, gnu::noinline]] void fail(int error, const char* what) const {
    throw std::system_error(error, std::system_category(), std::string("asioq: ") + what + " " + path_.string());
  }

  std::filesystem::path path_;
  int fd_ = -1;
  mutable std::size_t alignment_ = 1;  // mutable: what the kernel takes is found out by use
  mutable bool is_direct_ = false;
  bool is_required_ = false;
};

}  // namespace asioq
