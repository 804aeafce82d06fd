#pragma once

#include <asioq/detail/request/record.hpp>
#include <asioq/detail/transfer/transfer.hpp>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace asioq::detail {

/// Whether requests of a descriptor that continue each other may leave as one system call without any program seeing a
/// difference.
///
/// They may on disks and on the local file systems listed below. Elsewhere the boundaries may mean something (each
/// write is a message to a FUSE server), or one part may have to be seen before the rest can be transferred. Writes
/// must not be merged where each has to be on the disk before the next begins: with O_DSYNC, chattr +S, or a mount with
/// -o sync.
struct merging {
  bool reads = false;
  bool writes = false;
  bool is_direct = false;  // then only whole sectors, since a smaller part would be refused alone

  [[nodiscard]] bool allows(const request_record& record) const noexcept {
    if (!(record.traits().writes ? writes : reads)) return false;
    return !is_direct ||
           (record.length % largest_sector == 0 && (record.at_position() || record.offset % largest_sector == 0) &&
            reinterpret_cast<std::uintptr_t>(record.data) % largest_sector == 0);
  }
};

/// Asks the kernel; may block on a slow server.
class merging_probe {
 public:
  /// Whether nothing is allowed for the descriptor, as far as that is known without asking.
  [[nodiscard]] bool refuses(int fd) const noexcept { return fd == refused_; }

  /// Forgets the file that was asked for last: its inode number and its attributes may change while nothing is
  /// unfinished.
  void forget() noexcept { inode_ = 0; }

  /// What is allowed for the descriptor. Asks less if the descriptor means the file of the last call.
  [[nodiscard]] merging operator()(int fd) noexcept {
    if (refuses(fd)) return {};
    struct stat status;
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fstat(fd, &status) != 0) return {};
    if (status.st_dev != device_ || status.st_ino != inode_) learn(fd, status);
    if (!is_known_to_be_safe_) refused_ = fd;
    return {.reads = is_known_to_be_safe_,
            .writes = is_known_to_be_safe_ && !writes_at_once_ && (flags & O_DSYNC) == 0,  // O_SYNC contains it
            .is_direct = detail::is_direct(flags)};
  }

 private:
  void learn(int fd, const struct stat& status) noexcept {
    device_ = status.st_dev;
    inode_ = status.st_ino;
    is_known_to_be_safe_ = S_ISBLK(status.st_mode);
    writes_at_once_ = false;
    struct statfs system;
    if (!S_ISREG(status.st_mode) || ::fstatfs(fd, &system) != 0) return;
    is_known_to_be_safe_ = is_local(static_cast<std::uint64_t>(system.f_type) & 0xffffffffU);
    int attributes = 0;
    writes_at_once_ = (static_cast<std::uint64_t>(system.f_flags) & ST_SYNCHRONOUS) != 0 ||
                      (is_known_to_be_safe_ && ::ioctl(fd, FS_IOC_GETFLAGS, &attributes) == 0 &&
                       (static_cast<unsigned>(attributes) & FS_SYNC_FL) != 0);
  }

  /// Source: linux/magic.h.
  static bool is_local(std::uint64_t magic) noexcept {
    constexpr std::array<std::uint64_t, 5> known = {0xef53,       // ext2, ext3, ext4
                                                    0x58465342,   // xfs
                                                    0x9123683e,   // btrfs
                                                    0xf2f52010,   // f2fs
                                                    0x01021994};  // tmpfs
    return std::ranges::find(known, magic) != known.end();
  }

  // If this number later means another file, requests of that one are not merged, which does no harm.
  int refused_ = -1;
  // The file of the last call. The flags are not kept, since descriptors of one file may differ in them.
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool is_known_to_be_safe_ = false;
  bool writes_at_once_ = false;
};

}  // namespace asioq::detail
