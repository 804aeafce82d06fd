#pragma once

#include <asioq/detail/request_block.hpp>

#include <sys/stat.h>

#include <cerrno>

namespace asioq::detail {

/// Remembers that an fsync failed, since the kernel does not: having reported the error once it may drop the dirty pages
/// and call the next fsync of the same file a success (https://wiki.postgresql.org/wiki/Fsync_Errors).
///
/// Files are told apart by device and inode, not by descriptor numbers, which are reused. One failed file is
/// remembered exactly; once a second one fails, every file counts as failed, which errs on the safe side without allocating.
class fsync_latch {
 public:
  /// Whether an fsync of the request's file has failed before; then `block.error` says how.
  bool applies(request_block& block) const noexcept {
    if (error_ == 0) return false;
    struct stat file;
    if (!every_file_ && !(::fstat(block.fd, &file) == 0 && file.st_dev == device_ && file.st_ino == inode_))
      return false;
    block.error = error_;
    return true;
  }

  /// The request, an fsync, has failed.
  void set(const request_block& block) noexcept {
    // Not a file that can be synced, or no file: nothing has been lost.
    if (block.error == EINVAL || block.error == EROFS || block.error == EBADF) return;
    struct stat file;
    if (error_ == 0 && ::fstat(block.fd, &file) == 0) {
      device_ = file.st_dev;
      inode_ = file.st_ino;
    } else {
      every_file_ = true;
    }
    error_ = block.error;
  }

  void clear() noexcept { *this = {}; }

 private:
  int error_ = 0;  // an errno value; 0 while nothing has failed
  bool every_file_ = false;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace asioq::detail
