#pragma once

#include <sys/stat.h>

namespace asioq::detail {

/// Which file a descriptor means: two descriptors of one file have the same. Numbers of descriptors do not serve for
/// that: one file may have several, and they are used again.
struct file_identity {
  dev_t device = 0;
  ino_t inode = 0;

  file_identity() = default;

  explicit file_identity(const struct stat& status) noexcept
      // A disk is the same whichever of its nodes has been opened. No file has the inode 0.
      : device(S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev),
        inode(S_ISBLK(status.st_mode) ? 0 : status.st_ino) {}

  bool operator==(const file_identity&) const = default;
};

}  // namespace asioq::detail
