// The file system of fuse_disk.cpp, mounted; it needs root and libfuse 3.
#pragma once

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "files.hpp"

namespace asioq_test {

inline constexpr const char* no_fuse = "skipped: no FUSE file system can be mounted";

class fuse_disk {
 public:
  struct options {
    std::uint64_t step = 1 << 20;         // most bytes that a message transfers
    std::uint64_t fails_at = 1ULL << 40;  // offset of the bad sector that begins there and does not end
    std::uint64_t size = 0;
  };

  /// Nothing if it cannot be mounted here.
  static std::unique_ptr<fuse_disk> make([[maybe_unused]] const options& its) {
#ifdef ASIOQ_TEST_FUSE
    if (::access("/dev/fuse", R_OK | W_OK) != 0 || ::geteuid() != 0) return nullptr;
    std::unique_ptr<fuse_disk> made(new fuse_disk);
    const std::string step = std::to_string(its.step);
    const std::string fails_at = std::to_string(its.fails_at);
    const std::string size = std::to_string(its.size);
    const std::string point = made->point_.path().string();
    made->server_ = ::fork();
    if (made->server_ < 0) throw_errno("fork");
    if (made->server_ == 0) {
      ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);  // libfuse warns of its own defaults
      ::execl(ASIOQ_TEST_FUSE, ASIOQ_TEST_FUSE, point.c_str(), step.c_str(), fails_at.c_str(), size.c_str(), nullptr);
      ::_exit(127);
    }
    for (struct statfs status{}; ::statfs(point.c_str(), &status) != 0 || status.f_type != 0x65735546;) {
      if (::waitpid(made->server_, nullptr, WNOHANG) != 0) {  // it could not
        made->server_ = -1;
        return nullptr;
      }
      std::this_thread::yield();
    }
    return made;
#else
    return nullptr;
#endif
  }

  fuse_disk(const fuse_disk&) = delete;
  fuse_disk& operator=(const fuse_disk&) = delete;
  ~fuse_disk() {
    if (server_ <= 0) return;
    ::umount2(point_.path().c_str(), MNT_DETACH);
    ::kill(server_, SIGTERM);
    ::waitpid(server_, nullptr, 0);
  }

  [[nodiscard]] descriptor open(const char* name, int flags) const { return open_path(point_.path() / name, flags); }
  /// Write messages so far.
  [[nodiscard]] std::uint64_t writes() const {
    struct stat status{};
    if (::stat((point_.path() / "writes").c_str(), &status) != 0) throw_errno("stat");
    return static_cast<std::uint64_t>(status.st_size);
  }
  /// Has one in so many messages about the files noisy0 to noisy2 fail; none if this is 0.
  void make_noise(std::uint64_t one_in) const {
    const descriptor control = open("noise", O_WRONLY);
    const std::string text = std::to_string(one_in);
    if (::write(control.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw_errno("write");
  }
  /// Messages that have failed so, but those to sync.
  [[nodiscard]] std::uint64_t failures() const {
    struct stat status{};
    if (::stat((point_.path() / "failures").c_str(), &status) != 0) throw_errno("stat");
    return static_cast<std::uint64_t>(status.st_size);
  }
  /// What is in `data` in this range.
  static std::string text(std::uint64_t begin, std::uint64_t length) {
    std::string all(length, '\0');
    for (std::uint64_t i = 0; i < length; ++i) all[i] = static_cast<char>((begin + i) % 251);
    return all;
  }

 private:
  fuse_disk() = default;

  temp_dir point_;
  pid_t server_ = -1;
};

}  // namespace asioq_test
