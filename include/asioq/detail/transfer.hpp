#pragma once

#include <asioq/detail/request_block.hpp>

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace asioq::detail {

static_assert(sizeof(off_t) == 8, "asioq needs 64-bit file offsets: compile with -D_FILE_OFFSET_BITS=64");

/// Where a positional transfer that came back short with `done` bytes has to go on. Direct I/O must not resume inside a
/// sector, and repeating a part is harmless for the same bytes at the same place; everything else resumes where it
/// stopped.
inline std::size_t resume_point([[maybe_unused]] int fd, std::size_t done) noexcept {
#ifdef O_DIRECT
  constexpr std::size_t largest_sector = buffer_alignment;
  if (done % largest_sector != 0) {
    const int flags = ::fcntl(fd, F_GETFL);
    // With O_APPEND, Linux appends whatever the offset is: a repeated part would be there twice.
    if (flags >= 0 && (flags & O_DIRECT) != 0 && (flags & O_APPEND) == 0) return done - done % largest_sector;
  }
#endif
  return done;
}

/// Takes in what the kernel answered when asked for the request's operation from its byte `from` on: a count of bytes,
/// or an errno value negated. Returns whether to ask again, then from the new `from`.
inline bool advance(request_block& block, std::size_t& from, ssize_t answer) noexcept {
  if (answer == -EINTR) return true;
  if (answer < 0) {
    block.error = static_cast<int>(-answer);
    return false;
  }
  if (block.is_sync()) return false;
  const std::size_t reached = from + static_cast<std::size_t>(answer);
  if (reached <= block.transferred) {
    // Nothing new. For a read it is the end of the file (a repeated part ends so if the file does not end with a
    // sector).
    if (!block.is_write() || block.length == 0) return false;
    // Why a write cannot go on, the kernel says only when asked for what is still to be written.
    if (from < block.transferred) {
      from = block.transferred;
      return true;
    }
    block.error = EIO;
    return false;
  }
  block.transferred = from = reached;
  const bool at_position = block.offset == current_position;
  if (reached == block.length || (at_position && block.op == asio_op::read)) return false;
  if (!at_position) from = resume_point(block.fd, reached);
  return true;
}

/// Asks the kernel for the request's operation from its byte `from` on; blocks. The answer is as for `advance`.
inline ssize_t ask(const request_block& block, std::size_t from) noexcept {
  std::byte* const data = block.buffer + from;
  const std::size_t length = block.length - from;
  const auto offset = static_cast<off_t>(block.offset + from);
  const bool at_position = block.offset == current_position;
  ssize_t answer = 0;
  switch (block.op) {
    case asio_op::read:
      answer = at_position ? ::read(block.fd, data, length) : ::pread(block.fd, data, length, offset);
      break;
    case asio_op::write:
    case asio_op::write_back:
      answer = at_position ? ::write(block.fd, data, length) : ::pwrite(block.fd, data, length, offset);
      break;
    case asio_op::fsync:
      answer = ::fsync(block.fd);
      break;
    case asio_op::fdatasync:
      answer = ::fdatasync(block.fd);
      break;
    case asio_op::free:
      break;
  }
  return answer < 0 ? -errno : answer;
}

}  // namespace asioq::detail
