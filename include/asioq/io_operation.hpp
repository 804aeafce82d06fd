#pragma once

/// @file
/// One step of a request, for those that carry out file operations themselves.

#include <asioq/asio_op.hpp>
#include <asioq/file_offset.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace asioq {

/// One step of a request: a single system call's worth of it, not split and not repeated.
///
/// It belongs to the executor from `start` until `complete`, and so does the buffer. The queue takes care of order, of
/// short transfers, and of what follows an error. `perform(operation)` carries it out with a system call that blocks.
class io_operation {
 public:
  /// What to do; never `asio_op::free`. A write-back is a write.
  [[nodiscard]] asio_op op() const noexcept { return op_; }
  /// The descriptor.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// What to fill or to write; empty for operations that transfer nothing.
  [[nodiscard]] std::span<std::byte> buffer() const noexcept { return {data_, size_of_buffer()}; }
  /// Bytes from the start of the file, or `current_position`. For `asio_op::truncate` the size to give to the file.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  /// Bytes to transfer or, for `asio_op::allocate`, to reserve; else 0.
  [[nodiscard]] std::uint64_t length() const noexcept { return length_; }

  /// Says how it went, exactly once: bytes transferred, or an errno value negated. Must be called on the thread of the
  /// queue's owner, inside a call of `poll` or `wait_until` of the executor. The operation may be started again before
  /// this returns.
  void complete(std::int64_t outcome) noexcept { completed_(context_, *this, outcome); }

  /// For the executor, to use as it likes while it has the operation.
  io_operation* next = nullptr;
  std::int64_t result = 0;  ///< The same.
  std::int64_t place = 0;   ///< The same.

 protected:
  io_operation() = default;
  ~io_operation() = default;
  io_operation(const io_operation&) = default;
  io_operation& operator=(const io_operation&) = default;

  /// Describes the step.
  void describe(asio_op op, int fd, std::byte* data, std::uint64_t length, std::uint64_t offset) noexcept {
    op_ = op;
    fd_ = fd;
    data_ = data;
    length_ = length;
    offset_ = offset;
  }

  /// What `complete` calls, with what as its first argument.
  void on_complete(void (*completed)(void* context, io_operation& operation, std::int64_t outcome) noexcept,
                   void* context) noexcept {
    completed_ = completed;
    context_ = context;
  }

 private:
  [[nodiscard]] std::size_t size_of_buffer() const noexcept {
    return data_ == nullptr ? 0 : static_cast<std::size_t>(length_);
  }

  void (*completed_)(void* context, io_operation& operation, std::int64_t outcome) noexcept = nullptr;
  void* context_ = nullptr;
  std::byte* data_ = nullptr;  // null if nothing is transferred
  std::uint64_t length_ = 0;
  std::uint64_t offset_ = current_position;
  int fd_ = -1;
  asio_op op_ = asio_op::free;
};

}  // namespace asioq
