// Small file systems and block devices that can be full; they need root and go with their descriptors.
#pragma once

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "files.hpp"

namespace asioq_test {

inline constexpr const char* no_mounts = "skipped: this process may not mount a tmpfs";
inline constexpr const char* no_loop_devices = "skipped: there is no loop device to be had";
inline constexpr const char* no_direct_io = "skipped: no file system with O_DIRECT and alignment rules at hand";

/// An empty file that is alone on a tmpfs of `bytes`. The mount has no name any more and lasts as long as the file.
inline std::optional<descriptor> file_on_small_tmpfs(std::size_t bytes) {
  const temp_dir point;
  const std::string options = "size=" + std::to_string(bytes);
  if (::mount("asioq-test", point.path().c_str(), "tmpfs", 0, options.c_str()) != 0) return std::nullopt;
  try {
    descriptor file = open_path(point.path() / "file", O_RDWR | O_CREAT | O_EXCL);
    ::umount2(point.path().c_str(), MNT_DETACH);
    return file;
  } catch (...) {
    ::umount2(point.path().c_str(), MNT_DETACH);
    throw;
  }
}

inline std::string loop_device_name(int number) { return "/dev/loop" + std::to_string(number); }

/// A loop device over a file, which goes with its last descriptor; nothing if there is none to be had.
inline std::optional<descriptor> loop_device_over(const descriptor& image) {
  const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return std::nullopt;
  const descriptor owned{control};
  for (int tries = 0; tries < 8; ++tries) {
    const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) return std::nullopt;
    const int fd = ::open(loop_device_name(number).c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    descriptor device{fd};
    loop_config config{};
    config.fd = static_cast<__u32>(image.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(fd, LOOP_CONFIGURE, &config) == 0) return device;
    if (errno != EBUSY) return std::nullopt;  // else another process took it
  }
  return std::nullopt;
}

/// A block device of `size` bytes on a tmpfs that can hold only `room` of them: what is written beyond that is lost
/// when the kernel writes it to the "disk", and fsync says so.
class failing_disk {
 public:
  static std::optional<failing_disk> make(std::size_t size, std::size_t room) {
    std::optional<descriptor> image = file_on_small_tmpfs(room);
    if (!image || ::ftruncate(image->get(), static_cast<off_t>(size)) != 0) return std::nullopt;
    std::optional<descriptor> device = loop_device_over(*image);
    if (!device) return std::nullopt;
    return failing_disk{std::move(*image), std::move(*device)};
  }

  [[nodiscard]] const descriptor& device() const noexcept { return device_; }

 private:
  failing_disk(descriptor image, descriptor device) : image_(std::move(image)), device_(std::move(device)) {}

  descriptor image_;
  descriptor device_;  // last: closed first
};

/// A fresh file system of this type, and an empty directory's worth of files on it: they are made before it loses its
/// name, and it lasts as long as they do. Nothing if it cannot be mounted here.
template <class MakeFiles>
auto on_file_system(const std::string& type, bool sync, MakeFiles make_files)
    -> std::optional<decltype(make_files(std::filesystem::path()))> {
  const temp_dir point;
  std::optional<descriptor> device;
  std::string source = "asioq-test";
  if (type != "tmpfs" && type != "ramfs") {
    const temp_dir place("/dev/shm");
    const std::string image = (place.path() / "image").string();
    const descriptor file = open_path(image, O_RDWR | O_CREAT | O_EXCL);
    if (::ftruncate(file.get(), off_t{320} << 20) != 0) throw_errno("ftruncate");
    const std::string force = type == "ext4" ? " -F -q -O ^has_journal " : type == "xfs" ? " -q -f " : " -q -f ";
    if (std::system(("mkfs." + type + force + image + " >/dev/null 2>&1").c_str()) != 0) return std::nullopt;
    device = loop_device_over(file);
    if (!device) return std::nullopt;
    source = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(device->get())).string();
  }
  if (::mount(source.c_str(), point.path().c_str(), type.c_str(), sync ? MS_SYNCHRONOUS : 0, nullptr) != 0)
    return std::nullopt;
  try {
    auto files = make_files(point.path());
    ::umount2(point.path().c_str(), MNT_DETACH);
    return files;
  } catch (...) {
    ::umount2(point.path().c_str(), MNT_DETACH);
    throw;
  }
}

/// An empty file on a fresh file system of this type.
inline std::optional<descriptor> file_on(const std::string& type, bool sync) {
  return on_file_system(type, sync, [](const std::filesystem::path& root) {
    return open_path(root / "file", O_RDWR | O_CREAT | O_EXCL);
  });
}

/// An empty file opened with O_DIRECT where misaligned transfers are refused.
inline std::optional<descriptor> direct_file() {
  for (const std::filesystem::path& place :
       {std::filesystem::temp_directory_path(), std::filesystem::path("/var/tmp"), std::filesystem::current_path()}) {
    try {
      const descriptor plain = temp_file(place);
      descriptor direct = reopen(plain, O_RDWR | O_DIRECT);
      alignas(4096) static char block[4096] = {};
      if (::pwrite(direct.get(), block, 512, 1) < 0 && errno == EINVAL) return direct;
      if (::ftruncate(direct.get(), 0) != 0) throw_errno("ftruncate");
    } catch (const std::system_error&) {  // not a place for this
    }
  }
  return std::nullopt;
}

}  // namespace asioq_test
