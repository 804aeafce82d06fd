#pragma once

#include <asioq/detail/file_identity.hpp>
#include <asioq/detail/request_block.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace asioq::detail {

/// Remembers which files' fsync has failed, since the kernel does not: having reported the error once it may drop the
/// dirty pages and call the next fsync of the same file a success (https://wiki.postgresql.org/wiki/Fsync_Errors).
///
/// Files do not touch each other here, so fsyncs of different files may come in any order.
class fsync_latch {
 public:
  /// Whether an fsync of the request's file has failed before; then `block.error` says how.
  bool applies(request_block& block) const noexcept {
    if (any_file_ == 0 && failures_.empty()) return false;
    block.error = any_file_ != 0 ? any_file_ : error_of(block.fd);
    return block.error != 0;
  }

  /// The request, an fsync, has failed.
  void set(const request_block& block) noexcept {
    // Not a file that can be synced, or no file: nothing has been lost.
    if (block.error == EINVAL || block.error == EROFS || block.error == EBADF) return;
    struct stat status;
    if (::fstat(block.fd, &status) == 0) {
      try {
        failures_.push_back({file_identity(status), block.error});
        return;
      } catch (...) {  // NOLINT(bugprone-empty-catch): without memory for it, see below
      }
    }
    any_file_ = block.error;
  }

  void clear() noexcept {
    failures_.clear();
    any_file_ = 0;
  }

 private:
  struct failure {
    file_identity file;
    int error;  // an errno value
  };

  [[nodiscard]] int error_of(int fd) const noexcept {
    struct stat status;
    if (::fstat(fd, &status) != 0) return 0;  // no file: the fsync will fail anyway
    const auto failed = std::ranges::find(failures_, file_identity(status), &failure::file);
    return failed == failures_.end() ? 0 : failed->error;
  }

  std::vector<failure> failures_;
  int any_file_ = 0;  // if not 0, every file counts as failed, with this error
};

}  // namespace asioq::detail
