#pragma once

#include <asioq/detail/file_identity.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace asioq::detail {

/// What is known of a descriptor while requests that name it are unfinished. The caller keeps it open that long, so
/// this cannot go stale; it is forgotten with the last such request, since the number may then mean another file.
struct open_file {
  int fd = -1;
  std::size_t users = 0;     // unfinished requests that name it
  bool examined = false;     // whether the kernel has been asked for the rest
  bool has_flags = false;    // and for `appends`, which only writes need
  std::uint64_t id = 0;      // the same for descriptors of the same file
  bool is_stream = false;    // offsets may not mean anything: a pipe, a terminal
  bool appends = false;      // O_APPEND: writes go to the end, whatever their offset
  std::uint64_t size = 0;    // the file has at least so many bytes
  file_identity identity{};  // if examined
};

/// The files of the unfinished requests, by descriptor.
///
/// Asking the kernel costs as much as a small transfer, so it is put off: as long as one descriptor has a single
/// unfinished request, there is nothing to compare it with.
class file_table {
 public:
  static constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

  /// Makes sure that there is memory for so many new entries.
  void reserve(std::size_t count) { files_.reserve(files_.size() + count); }

  /// The entry of a descriptor; a new one if there is none. May throw `std::bad_alloc`.
  open_file& at(int fd) {
    const auto place = find(fd);
    if (place != files_.end() && place->fd == fd) return *place;
    return *files_.insert(place, open_file{.fd = fd, .id = next_id_++});
  }

  /// Asks the kernel about a file, as far as that has not been done.
  void examine(open_file& file, bool for_write) noexcept {
    if (for_write && !file.has_flags) {
      file.has_flags = true;
      const int flags = ::fcntl(file.fd, F_GETFL);
      file.appends = flags >= 0 && (flags & O_APPEND) != 0;
    }
    if (file.examined) return;
    file.examined = true;
    struct stat status;
    if (::fstat(file.fd, &status) != 0) return;  // no file: its requests will fail, whatever their order
    file.is_stream = !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode);
    file.identity = file_identity(status);
    // Only regular files have an end that moves.
    file.size = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : unlimited;
    const auto same = std::ranges::find_if(files_, [&](const open_file& other) {
      return other.examined && &other != &file && other.identity == file.identity;
    });
    if (same == files_.end()) return;
    file.id = same->id;
  }

  /// The descriptor's file has at least `size` bytes.
  void grow(int fd, std::uint64_t size) noexcept {
    open_file& file = *find(fd);
    if (file.examined && !file.appends) file.size = std::max(file.size, size);
  }

  /// One unfinished request fewer names the descriptor.
  void release(int fd) noexcept {
    const auto place = find(fd);
    if (--place->users == 0) files_.erase(place);
  }

 private:
  std::vector<open_file>::iterator find(int fd) noexcept {
    return std::ranges::lower_bound(files_, fd, {}, &open_file::fd);
  }

  std::vector<open_file> files_;  // sorted by fd
  std::uint64_t next_id_ = 1;
};

}  // namespace asioq::detail
