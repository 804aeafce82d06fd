#pragma once

#include <asioq/detail/request_block.hpp>

#include <sys/stat.h>

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
    if (!every_file_ && !(::fstat(block.fd, &file) == 0 && file.st_dev == device_ && file.st_ino == inode_)) return false;
    block.error = error_;
    return true;
  }

  /// The request, an fsync, has failed.
  void set(const request_block& block) noexcept {
    struct stat file;
    if (::fstat(block.fd, &file) != 0) return;  // a bad descriptor: no file has lost anything
    if (error_ != 0) {
      every_file_ = true;
      return;
    }
    error_ = block.error;
    device_ = file.st_dev;
    inode_ = file.st_ino;
  }

  void clear() noexcept { *this = {}; }

 private:
  int error_ = 0;  // an errno value; 0 while nothing has failed
  bool every_file_ = false;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace asioq::detail
