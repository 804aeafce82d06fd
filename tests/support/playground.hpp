// The files and descriptors that random programs use.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "files.hpp"

namespace asioq_test {

/// All programs use the same ones. The files are in memory; reset() puts them back to how they were before a run.
class playground {
 public:
  /// `plain` and `direct` (O_DIRECT, aligned) are regular files, and so is `sealed`, which cannot grow (EPERM).
  enum file : std::size_t { plain, other, direct, sealed, regular_files, pipe = regular_files, full, null, none };

  struct target {
    const char* name;
    int fd;
    file where;
    bool appends;
  };

  static constexpr std::size_t sealed_size = 4096;  // a page: the kernel writes page by page or not at all
  static constexpr std::size_t sector = 512;

  playground() {
    for (std::size_t i = 0; i < regular_files; ++i)
      files_.emplace_back(::memfd_create("asioq-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (::ftruncate(files_[sealed].get(), sealed_size) != 0) throw_errno("ftruncate");
    if (::fcntl(files_[sealed].get(), F_ADD_SEALS, F_SEAL_GROW) != 0) throw_errno("F_ADD_SEALS");
    add("plain", plain, O_RDWR);
    add("plain, opened again", plain, O_RDWR);
    add("plain, same position", plain, same_position);
    add("plain, O_RDONLY", plain, O_RDONLY);
    add("plain, O_APPEND", plain, O_RDWR | O_APPEND);
    add("other", other, O_RDWR);
    add("other, same position", other, same_position);
    add("other, O_WRONLY", other, O_WRONLY);
    add("other, O_WRONLY | O_APPEND", other, O_WRONLY | O_APPEND);
    for (const char* name : {"direct", "direct, opened again"}) {
      try {
        add(name, direct, O_RDWR | O_DIRECT);
      } catch (const std::system_error&) {  // Linux before 6.6: not in memory
        add(name, direct, O_RDWR);
      }
    }
    add("sealed", sealed, O_RDWR);
    add("sealed, opened again", sealed, O_RDWR);
    for (const descriptor* end : {&pipe_.read_end, &pipe_.write_end}) {
      if (::fcntl(end->get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("F_SETFL");
      targets_.push_back({end == &pipe_.read_end ? "read end" : "write end", end->get(), pipe, false});
    }
    // Never full, since what then becomes of a write depends on how those before were cut.
    if (::fcntl(pipe_.write_end.get(), F_SETPIPE_SZ, 1 << 20) < 0) throw_errno("F_SETPIPE_SZ");
    add_device("/dev/full", full);
    add_device("/dev/null", null);
    targets_.push_back({"never open", 1'000'000'000, none, false});
  }

  [[nodiscard]] const std::vector<target>& targets() const { return targets_; }
  [[nodiscard]] const target& target_of(int fd) const { return *std::ranges::find(targets_, fd, &target::fd); }

  void reset(const std::array<std::size_t, regular_files>& sizes) const {
    for (std::size_t i = 0; i < regular_files; ++i) {
      const std::string_view text = noise(i * 8000, sizes[i]);
      if (i != sealed && ::ftruncate(files_[i].get(), 0) != 0) throw_errno("ftruncate");
      if (::pwrite(files_[i].get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        throw_errno("pwrite");
    }
    for (const target& one : targets_) ::lseek(one.fd, 0, SEEK_SET);
    static_cast<void>(rest_of_pipe());
  }

  /// All that is left when a run is over: what is in the files and the pipe, and the positions of the descriptors.
  [[nodiscard]] std::vector<std::string> remains() const {
    std::vector<std::string> all;
    for (const descriptor& one : files_) all.push_back(contents(one));
    all.push_back(rest_of_pipe());
    for (const target& one : targets_)
      if (one.where < regular_files) all.push_back(std::to_string(::lseek(one.fd, 0, SEEK_CUR)));
    return all;
  }

  [[nodiscard]] std::string content_of(file which) const { return contents(files_[which]); }

  /// `size` bytes that are others for another `salt`.
  static std::string_view noise(std::size_t salt, std::size_t size) {
    static const std::string all = [] {
      std::mt19937_64 random{1};
      std::string text(1 << 16, '\0');
      for (char& one : text) one = static_cast<char>(random());
      return text;
    }();
    return std::string_view(all).substr(salt % (all.size() / 2), size);
  }

 private:
  static constexpr int same_position = -1;  // dup(2) of the file's first descriptor

  void add(const char* name, file where, int flags) {
    const bool same = flags == same_position;
    const auto first = std::ranges::find(targets_, where, &target::where);
    others_.push_back(same ? descriptor{::fcntl(first->fd, F_DUPFD_CLOEXEC, 0)} : reopen(files_[where], flags));
    targets_.push_back({name, others_.back().get(), where, !same && (flags & O_APPEND) != 0});
  }

  void add_device(const char* path, file where) {
    targets_.push_back({path, others_.emplace_back(open_path(path, O_RDWR)).get(), where, false});
  }

  [[nodiscard]] std::string rest_of_pipe() const {
    std::string rest;
    std::array<char, 4096> some;
    for (ssize_t size = 0; (size = ::read(pipe_.read_end.get(), some.data(), some.size())) > 0;)
      rest.append(some.data(), static_cast<std::size_t>(size));
    return rest;
  }

  std::vector<descriptor> files_;
  std::vector<descriptor> others_;
  pipe_ends pipe_;
  std::vector<target> targets_;
};

}  // namespace asioq_test
