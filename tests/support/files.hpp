// Descriptors and files that clean up after themselves.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace asioq_test {

[[noreturn]] inline void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Owns a file descriptor.
class descriptor {
 public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {
    if (fd < 0) throw_errno("descriptor");
  }
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  /// Its number, which the caller has to close.
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

/// A directory that is removed with all it contains.
class temp_dir {
 public:
  explicit temp_dir(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::string name = (parent / "asioq-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw_errno("mkdtemp");
    path_ = name;
  }
  temp_dir(const temp_dir&) = delete;
  temp_dir& operator=(const temp_dir&) = delete;
  ~temp_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

inline descriptor open_path(const std::filesystem::path& path, int flags) {
  return descriptor{::open(path.c_str(), flags | O_CLOEXEC, 0600)};
}

/// A file that is empty, open for reading and writing, and has no name any more.
inline descriptor temp_file(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
  const temp_dir dir(parent);
  return open_path(dir.path() / "file", O_RDWR | O_CREAT | O_EXCL);
}

/// The same file again with other flags, and with a position of its own.
inline descriptor reopen(const descriptor& file, int flags) {
  return open_path("/proc/self/fd/" + std::to_string(file.get()), flags);
}

/// All of a file, whatever its position is.
inline std::string contents(const descriptor& file) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw_errno("fstat");
  std::string all(static_cast<std::size_t>(status.st_size), '\0');
  for (std::size_t done = 0; done < all.size();) {
    const ssize_t step = ::pread(file.get(), all.data() + done, all.size() - done, static_cast<off_t>(done));
    if (step < 0) throw_errno("pread");
    if (step == 0) all.resize(done);
    done += static_cast<std::size_t>(step);
  }
  return all;
}

/// Replaces what is in a file; its position stays at the beginning.
inline void set_contents(const descriptor& file, std::string_view text) {
  if (::ftruncate(file.get(), 0) != 0) throw_errno("ftruncate");
  if (::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) throw_errno("pwrite");
}

inline descriptor temp_file_with(std::string_view text) {
  descriptor file = temp_file();
  set_contents(file, text);
  return file;
}

/// Bytes that differ from their neighbours, and from those of another salt.
inline std::string pattern(std::size_t size, unsigned salt = 0) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 131 + i / 251 + salt * 17 + 1) % 256);
  return text;
}

/// Both ends of a pipe.
struct pipe_ends {
  descriptor read_end;
  descriptor write_end;

  pipe_ends() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw_errno("pipe2");
    read_end = descriptor{fds[0]};
    write_end = descriptor{fds[1]};
  }

  void put(std::string_view text) const {
    if (::write(write_end.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw_errno("write");
  }

  /// Reads exactly `size` bytes, or fewer if the other end is closed.
  [[nodiscard]] std::string take(std::size_t size) const {
    std::string text(size, '\0');
    std::size_t done = 0;
    while (done < size) {
      const ssize_t step = ::read(read_end.get(), text.data() + done, size - done);
      if (step < 0 && errno == EINTR) continue;
      if (step < 0) throw_errno("read");
      if (step == 0) break;
      done += static_cast<std::size_t>(step);
    }
    text.resize(done);
    return text;
  }

  /// Makes the pipe as small as it can be, and returns how many bytes that is.
  [[nodiscard]] std::size_t shrink() const {
    const int size = ::fcntl(write_end.get(), F_SETPIPE_SZ, 4096);
    if (size < 0) throw_errno("F_SETPIPE_SZ");
    return static_cast<std::size_t>(size);
  }
};

}  // namespace asioq_test
