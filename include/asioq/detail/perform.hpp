#pragma once

#include <asioq/detail/request_block.hpp>

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace asioq::detail {

static_assert(sizeof(off_t) == 8, "asioq needs 64-bit file offsets: compile with -D_FILE_OFFSET_BITS=64");

/// Calls until it is not a signal that ended the call.
template <class Call>
auto retry_interrupted(Call call) noexcept {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// The flags of an open file; 0 where the descriptor is not good.
inline int file_flags(int fd) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags < 0 ? 0 : flags;
}

/// Where a transfer that came back short with `done` bytes has to go on. Direct I/O must not resume inside a sector, and
/// repeating a part is harmless for the same bytes at the same place; everything else resumes where it stopped.
inline std::size_t resume_point([[maybe_unused]] int fd, std::size_t done) noexcept {
#ifdef O_DIRECT
  constexpr std::size_t largest_sector = buffer_alignment;
  if (done % largest_sector != 0) {
    const int flags = file_flags(fd);
    // With O_APPEND, Linux appends whatever the offset is: a repeated part would be there twice.
    if ((flags & O_DIRECT) != 0 && (flags & O_APPEND) == 0) return done - done % largest_sector;
  }
#endif
  return done;
}

/// Whether a short transfer is resumed by repeating the begun sector; see `resume_point`.
enum class repeats { no, yes };

/// Calls `call` until all of the request is transferred, the file ends, or an error arises. `if_nothing` is the error to
/// report when a call moves no byte (0: that is the end of the file).
template <repeats Repeats, class Call>
void transfer_all(request_block& block, int if_nothing, Call call) noexcept {
  std::size_t from = 0;
  do {
    const ssize_t moved = retry_interrupted([&] { return call(block.buffer + from, block.length - from, from); });
    if (moved < 0) {
      block.error = errno;
      return;
    }
    const std::size_t reached = from + static_cast<std::size_t>(moved);
    // Also when a repeated part brings nothing new: the end of a file that does not end with a sector.
    if (reached <= block.transferred) {
      if (block.length != 0) block.error = if_nothing;
      return;
    }
    block.transferred = from = reached;
    if (Repeats == repeats::yes && reached < block.length) from = resume_point(block.fd, reached);
  } while (block.transferred < block.length);
}

inline void read_file(request_block& block) noexcept {
  if (block.offset != current_position) {
    transfer_all<repeats::yes>(block, 0, [&](std::byte* to, std::size_t length, std::size_t done) {
      return ::pread(block.fd, to, length, static_cast<off_t>(block.offset + done));
    });
    return;
  }
  const ssize_t moved = retry_interrupted([&] { return ::read(block.fd, block.buffer, block.length); });
  if (moved < 0)
    block.error = errno;
  else
    block.transferred = static_cast<std::size_t>(moved);
}

inline void write_file(request_block& block) noexcept {
  if (block.offset != current_position)
    transfer_all<repeats::yes>(block, EIO, [&](const std::byte* from, std::size_t length, std::size_t done) {
      return ::pwrite(block.fd, from, length, static_cast<off_t>(block.offset + done));
    });
  else
    transfer_all<repeats::no>(block, EIO, [&](const std::byte* from, std::size_t length, std::size_t) {
      return ::write(block.fd, from, length);
    });
}

/// Carries out the request's operation, blocking as long as it takes.
inline void perform(request_block& block) noexcept {
  block.error = 0;
  block.transferred = 0;
  int result = 0;
  switch (block.op) {
    case asio_op::read: read_file(block); break;
    case asio_op::write:
    case asio_op::write_back: write_file(block); break;
    case asio_op::fsync: result = retry_interrupted([&] { return ::fsync(block.fd); }); break;
    case asio_op::fdatasync: result = retry_interrupted([&] { return ::fdatasync(block.fd); }); break;
    case asio_op::free: break;
  }
  if (result < 0) block.error = errno;
}

}  // namespace asioq::detail
