#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>

#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

// One step on an io_uring: how the kernel is told of it, and what its answer means. Needs liburing.

namespace asioq::detail::uring {

/// IORING_OP_FTRUNCATE (Linux 6.9), which liburing 2.3 does not name.
inline constexpr unsigned char op_truncate = 55;

/// MAX_RW_COUNT of the kernel, for pages of 4 KiB.
inline constexpr std::size_t longest_step = 0x7ffff000;

/// In `result` of an operation that its queue has cancelled, where the kernel's refusals are otherwise counted.
inline constexpr std::int64_t cut_short = -1;

/// Operations linked by `next`, first in, first out.
class operation_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void push(io_operation& operation) noexcept {
    operation.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &operation;
    last_ = &operation;
    ++size_;
  }
  io_operation& pop() noexcept {
    --size_;
    return *std::exchange(first_, first_->next);
  }

  /// Moves the operations that have been cancelled to the end of another list.
  void move_cut_short(operation_list& to) noexcept {
    for (operation_list all = std::exchange(*this, {}); !all.empty();) {
      io_operation& operation = all.pop();
      (operation.result == cut_short ? to : *this).push(operation);
    }
  }

 private:
  io_operation* first_ = nullptr;
  io_operation* last_ = nullptr;  // if there is a first
  std::size_t size_ = 0;
};

/// The time to the deadline in the kernel's form; 0 if the deadline has passed.
inline __kernel_timespec time_left(std::chrono::steady_clock::time_point deadline) noexcept {
  const auto left = std::max(deadline - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration::zero());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  __kernel_timespec time{};
  time.tv_sec = seconds.count();
  time.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
  return time;
}

/// Whether a transfer at the file's own position is asked for.
inline bool is_at_position(const io_operation& operation) noexcept {
  return operation.offset() == current_position && !operation.buffer().empty();
}

/// Describes the step to the kernel. Where it has no truncate on rings, a truncate is described as nothing.
inline void describe(::io_uring_sqe& entry, io_operation& operation, bool has_truncate) noexcept {
  if (is_at_position(operation)) operation.place = ::lseek(operation.fd(), 0, SEEK_CUR);
  // io_uring has a number of its own for the file's position.
  const std::uint64_t offset = operation.offset() == current_position ? ~std::uint64_t{0} : operation.offset();
  const auto length = static_cast<unsigned>(std::min(operation.buffer().size(), longest_step));
  switch (operation.op()) {
    case asio_op::read:
      ::io_uring_prep_read(&entry, operation.fd(), operation.buffer().data(), length, offset);
      break;
    case asio_op::write:
    case asio_op::write_back:
      ::io_uring_prep_write(&entry, operation.fd(), operation.buffer().data(), length, offset);
      break;
    case asio_op::fsync:
      ::io_uring_prep_fsync(&entry, operation.fd(), 0);
      break;
    case asio_op::fdatasync:
      ::io_uring_prep_fsync(&entry, operation.fd(), IORING_FSYNC_DATASYNC);
      break;
    case asio_op::truncate:
      ::io_uring_prep_nop(&entry);
      if (!has_truncate) break;
      entry.opcode = op_truncate;
      entry.fd = operation.fd();
      entry.off = offset;
      break;
    case asio_op::allocate:
      // As io_uring_prep_fallocate, whose numbers are signed in some versions of liburing and unsigned in others.
      ::io_uring_prep_nop(&entry);
      entry.opcode = IORING_OP_FALLOCATE;
      entry.fd = operation.fd();
      entry.off = offset;
      entry.addr = operation.length();
      break;
    case asio_op::close:
      ::io_uring_prep_close(&entry, operation.fd());
      break;
    case asio_op::free:
      ::io_uring_prep_nop(&entry);
      break;
  }
  ::io_uring_sqe_set_data(&entry, &operation);
}

/// If an error cuts a transfer at the file's position short, Linux (6.18 for one) reports the bytes before the error
/// but leaves the position where it was, and the next write would overwrite them.
inline void mend_position(const io_operation& operation, std::int32_t result) noexcept {
  if (result <= 0 || static_cast<std::size_t>(result) == operation.buffer().size() || operation.place < 0) return;
  if (::lseek(operation.fd(), 0, SEEK_CUR) != operation.place) return;
  const bool appends = operation.op() != asio_op::read && (::fcntl(operation.fd(), F_GETFL) & O_APPEND) != 0;
  ::lseek(operation.fd(), appends ? 0 : operation.place + result, appends ? SEEK_END : SEEK_SET);
}

/// Whether the kernel has not carried out the operation, for reasons that do not concern the user.
inline bool is_refusal(const io_operation& operation, std::int32_t result) noexcept {
  // Unless its queue has cancelled it, the kernel had no thread for it, or the thread that submitted it has exited.
  if (result == -ECANCELED) return true;
  if (result != -EAGAIN) return false;
  // Short of resources; on a descriptor with O_NONBLOCK it is the answer.
  const int flags = ::fcntl(operation.fd(), F_GETFL);
  return flags < 0 || (flags & O_NONBLOCK) == 0;
}

/// Whether the owner may block in the operation: it depends on a disk, and not on what another program or thread does.
inline bool is_for_owner(const io_operation& operation) noexcept {
  if (!traits_of(operation.op()).transfers) return true;
  struct stat status{};
  return ::fstat(operation.fd(), &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
}

/// Whether waiting or trying again can help: a signal, the time-out, or rings and memory that are full.
inline bool may_go_on(int result) noexcept {
  return result >= 0 || result == -EINTR || result == -ETIME || result == -EAGAIN || result == -EBUSY;
}

/// Throws unless the ring may go on.
inline void check(int result) {
  if (may_go_on(result)) return;
  throw std::system_error(-result, std::system_category(), "asioq: io_uring refuses to go on");
}

}  // namespace asioq::detail::uring
