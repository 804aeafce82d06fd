#pragma once

/// @file
/// What is known of each operation, in one table, and the function that performs one.

#include <asioq/asio_op.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/io_operation.hpp>

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace asioq {

static_assert(sizeof(off_t) == 8, "asioq needs 64-bit file offsets: compile with -D_FILE_OFFSET_BITS=64");

/// What a queue, and an engine, has to know of an operation.
struct operation_traits {
  const char* name;          ///< In messages.
  bool transfers = false;    ///< Moves bytes between the buffer and the file, so it may be short and goes on.
  bool writes = false;       ///< Changes what others read from the file.
  bool is_sync = false;      ///< Makes earlier writes durable; its errors last.
  bool of_a_range = false;   ///< Concerns no byte of the file but those of its range, if it has an offset.
  bool ends_number = false;  ///< Afterwards the descriptor's number may mean another file.
  bool may_lose = false;     ///< A failure that is never reported would lose data.
};

namespace detail {

/// The row of the table for `op`. The switch has no default, so the compiler names this place when an operation is
/// added.
constexpr operation_traits row_of(asio_op op) {
  switch (op) {
    case asio_op::free:
      return {.name = "nothing"};
    case asio_op::read:
      return {.name = "read", .transfers = true, .of_a_range = true};
    case asio_op::write:
      return {.name = "write", .transfers = true, .writes = true, .of_a_range = true, .may_lose = true};
    case asio_op::write_back:
      return {.name = "write-back", .transfers = true, .writes = true, .of_a_range = true, .may_lose = true};
    case asio_op::fsync:
      return {.name = "fsync", .is_sync = true, .may_lose = true};
    case asio_op::fdatasync:
      return {.name = "fdatasync", .is_sync = true, .may_lose = true};
    case asio_op::truncate:
      return {.name = "truncate", .writes = true, .may_lose = true};
    case asio_op::allocate:
      return {.name = "allocate", .writes = true, .may_lose = true};
    case asio_op::close:  // close(2) may be the first to report a failed write
      return {.name = "close", .ends_number = true, .may_lose = true};
  }
  return {.name = "unknown"};
}

/// The rows by the number of their operation, so that a look-up has no branch.
inline constexpr auto operation_table = [] {
  std::array<operation_traits, 16> rows{};
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = row_of(static_cast<asio_op>(i));
  return rows;
}();

}  // namespace detail

/// What is known of an operation.
[[nodiscard]] constexpr const operation_traits& traits_of(asio_op op) noexcept {
  return detail::operation_table[static_cast<std::size_t>(op)];
}

/// Performs an operation by a system call on this thread; blocks as long as that does. Returns bytes transferred, or an
/// errno value negated. `data` and `length` are what a transfer fills or writes; `offset` is in bytes or
/// `current_position`.
///
/// It does not repeat what a signal has interrupted (-EINTR).
[[nodiscard]] inline std::int64_t perform(asio_op op, int fd, std::byte* data, std::size_t length,
                                          std::uint64_t offset) noexcept {
  const auto place = static_cast<off_t>(offset);
  const bool at_position = offset == current_position;
  std::int64_t answer = 0;
  switch (op) {
    case asio_op::free:
      break;
    case asio_op::read:
      answer = at_position ? ::read(fd, data, length) : ::pread(fd, data, length, place);
      break;
    case asio_op::write:
    case asio_op::write_back:
      answer = at_position ? ::write(fd, data, length) : ::pwrite(fd, data, length, place);
      break;
    case asio_op::fsync:
      answer = ::fsync(fd);
      break;
    case asio_op::fdatasync:
      answer = ::fdatasync(fd);
      break;
    case asio_op::truncate:
      answer = ::ftruncate(fd, place);
      break;
    case asio_op::allocate:
      return -::posix_fallocate(fd, place, static_cast<off_t>(length));
    case asio_op::close:
      answer = ::close(fd);
      break;
  }
  return answer < 0 ? -static_cast<std::int64_t>(errno) : answer;
}

/// The same for a step of an `io_executor`, which may use this for all operations or for those that it cannot do
/// itself.
[[nodiscard]] inline std::int64_t perform(const io_operation& step) noexcept {
  return perform(step.op(), step.fd(), step.buffer().data(), static_cast<std::size_t>(step.length()), step.offset());
}

}  // namespace asioq
