// A file system on a disk that can be switched off: a loop device over memory, which needs root.
#pragma once

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "files.hpp"
#include "mounts.hpp"

namespace asioq_test {

class mounted_disk {
 public:
  /// A fresh file system of this type; nothing if it cannot be mounted or switched off here.
  static std::unique_ptr<mounted_disk> make(const std::string& type) {
    std::unique_ptr<mounted_disk> made(new mounted_disk(type));
    const temp_dir place("/dev/shm");
    const std::string image = (place.path() / "image").string();
    const descriptor file = open_path(image, O_RDWR | O_CREAT | O_EXCL);
    if (::ftruncate(file.get(), off_t{320} << 20) != 0) throw_errno("ftruncate");
    const std::string force = type == "ext4" ? " -q -F " : " -q -f ";
    if (std::system(("mkfs." + type + force + image + " >/dev/null 2>&1").c_str()) != 0) return nullptr;
    std::optional<descriptor> device = loop_device_over(file);
    if (!device) return nullptr;
    made->device_ = std::move(*device);
    if (!made->mount() || !made->switch_off()) return nullptr;
    return made->restart() ? std::move(made) : nullptr;
  }

  mounted_disk(const mounted_disk&) = delete;
  mounted_disk& operator=(const mounted_disk&) = delete;
  ~mounted_disk() { unmount(); }

  [[nodiscard]] std::filesystem::path path() const { return point_.path(); }

  /// From here on nothing reaches the disk, and what has not reached it is lost. On any thread. False if the file
  /// system cannot do that.
  bool switch_off() noexcept {
    // As "xfs_io -x -c shutdown" does it; ext4 and others have the same request.
    constexpr unsigned long go_down = _IOR('X', 125, std::uint32_t);
    std::uint32_t without_flushing_the_log = 2;
    return ::ioctl(root_.get(), go_down, &without_flushing_the_log) == 0;
  }

  /// Mounts it again, which replays the log. All its files must be closed.
  bool restart() { return unmount() && mount(); }

 private:
  explicit mounted_disk(std::string type) : type_(std::move(type)) {}

  bool mount() {
    const std::string source = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(device_.get())).string();
    if (::mount(source.c_str(), point_.path().c_str(), type_.c_str(), 0, nullptr) != 0) return false;
    is_mounted_ = true;
    root_ = open_path(point_.path(), O_RDONLY | O_DIRECTORY);
    return true;
  }

  bool unmount() {
    root_.reset();
    if (!std::exchange(is_mounted_, false)) return true;
    // Another process may have the mount point for a moment, and the kernel's threads a file.
    for (int tries = 0; tries < 200'000; ++tries) {
      if (::umount2(point_.path().c_str(), 0) == 0) return true;
      if (errno != EBUSY) break;
    }
    ::umount2(point_.path().c_str(), MNT_DETACH);
    return false;
  }

  std::string type_;
  temp_dir point_;
  descriptor device_;
  descriptor root_;
  bool is_mounted_ = false;
};

}  // namespace asioq_test
