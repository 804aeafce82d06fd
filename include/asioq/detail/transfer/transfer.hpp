#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/operation.hpp>
#include <asioq/options.hpp>

#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace asioq::detail {

/// Direct I/O can resume at a multiple of this, whatever the size of the device's sectors.
inline constexpr std::size_t largest_sector = buffer_alignment;

/// Whether transfers of the descriptor bypass the page cache.
inline bool is_direct([[maybe_unused]] int flags) noexcept {
#ifdef O_DIRECT
  return flags >= 0 && (flags & O_DIRECT) != 0;
#else
  return false;
#endif
}

/// Whether direct I/O that was refused inside a sector, with EINVAL, may be tried again from the beginning of the
/// sector. Repeating a part is harmless where the same bytes go to the same place. Under O_APPEND they do not, since
/// Linux appends whatever the offset is. `is_of_kernel` says whether the descriptor is one of this machine's.
inline bool may_step_back(const request_record& record, bool is_of_kernel) noexcept {
  if (record.op == asio_op::read) return true;
  if (!is_of_kernel) return false;
  const int flags = ::fcntl(record.fd, F_GETFL);
  return is_direct(flags) && (flags & O_APPEND) == 0;
}

/// Takes in the answer to the request's operation from its byte `from` on: a count of bytes, or an errno value negated.
/// Returns whether to ask again, then from the new `from`.
///
/// A short transfer is not the end of the file, so the rest is asked for until the answer is 0 or an error. Direct I/O
/// refuses a rest that begins inside a sector. The next question then begins with that sector, and if it brings nothing
/// new for a read, the data end there.
inline bool advance(request_record& record, std::size_t& from, std::int64_t answer, bool is_of_kernel = true) noexcept {
  const operation_traits& traits = record.traits();
  // An interrupted close(2) has closed the descriptor on Linux, and the number may already be another file's.
  if (answer == -EINTR) return !traits.ends_number;
  if (answer < 0) {
    if (answer == -EINVAL && from % largest_sector != 0 && !record.at_position() &&
        may_step_back(record, is_of_kernel)) {
      from -= from % largest_sector;
      return true;
    }
    record.error = static_cast<int>(-answer);
    return false;
  }
  if (!traits.transfers) return false;
  const std::size_t reached = from + static_cast<std::size_t>(answer);
  if (reached > record.transferred) {
    record.transferred = from = reached;
    return reached != record.length && (!record.at_position() || traits.writes);
  }
  if (traits.writes && record.length != 0) record.error = EIO;
  return false;
}

/// The offset of the step that begins with the request's byte `from`.
inline std::uint64_t offset_from(const request_record& record, std::size_t from) noexcept {
  return record.at_position() ? record.offset : record.offset + from;
}

/// Performs the request's operation from its byte `from` on; blocks. The answer is as for `advance`.
inline std::int64_t perform_from(const request_record& record, std::size_t from) noexcept {
  return perform(record.op, record.fd, record.data + from, record.length - from, offset_from(record, from));
}

/// Carries out what is left of the request from its byte `from` on; blocks. `error` and `transferred` are its result.
inline void finish(request_record& record, std::size_t from = 0) noexcept {
  while (advance(record, from, perform_from(record, from))) {
  }
}

}  // namespace asioq::detail
