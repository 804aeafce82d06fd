#pragma once

/// @file
/// The exception by which a queue says that data submitted earlier has not been written.

#include <asioq/file_offset.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

namespace asioq {

namespace detail {

/// For messages: where a transfer was to take place.
inline std::string name_of_place(std::size_t length, std::uint64_t offset) {
  const std::string bytes = std::to_string(length) + " bytes at ";
  return bytes + (offset == current_position ? "the position" : "offset " + std::to_string(offset));
}

}  // namespace detail

/// Thrown by `sync()` and by `submit()` of a write-back while a failed write-back has not been collected with `wait()`.
///
/// `code()` is the error of the oldest such write-back; the members say which one it was. Its handle, with the data
/// that was not written, is returned by `wait()`. The class has default visibility whatever the compiler's flags are,
/// so that another shared object can catch it.
class [[gnu::visibility("default")]] write_back_error : public std::system_error {
 public:
  /// The write-back of `length` bytes at `offset` to `fd` failed with `code`.
  write_back_error(std::error_code code, int fd, std::uint64_t offset, std::size_t length)
      : std::system_error(code, "asioq: write-back of " + detail::name_of_place(length, offset) + " of descriptor " +
                                    std::to_string(fd) + " failed"),
        offset_(offset),
        length_(length),
        fd_(fd) {}

  /// The descriptor it was to be written to.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// Where in the file, in bytes; `current_position` if at the file's own position.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  /// How many bytes it was to write.
  [[nodiscard]] std::size_t length() const noexcept { return length_; }

 private:
  std::uint64_t offset_;
  std::size_t length_;
  int fd_;
};

}  // namespace asioq
