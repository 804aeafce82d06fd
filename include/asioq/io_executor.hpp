#pragma once

/// @file
/// Executors that carry out file operations themselves: io_uring, a simulated disk, or your own engine.

#include <asioq/asio_op.hpp>
#include <asioq/executor.hpp>
#include <asioq/options.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

namespace asioq {

/// One step of a request, as an `io_executor` gets it: a single read, write or sync, not split and not repeated.
///
/// It belongs to the executor from `start` until `complete`, and so does the buffer. The queue takes care of order, of
/// short transfers, and of what comes after an error.
class io_operation {
 public:
  /// What to do; never `asio_op::free`. A write-back is a write.
  [[nodiscard]] asio_op op() const noexcept { return op_; }
  /// The descriptor.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// What to fill or to write; empty for fsync and fdatasync.
  [[nodiscard]] std::span<std::byte> buffer() const noexcept { return buffer_; }
  /// Bytes from the start of the file, or `current_position`.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

  /// Says how it went, exactly once: bytes transferred, or an errno value negated. On the thread of the queue's owner,
  /// inside a call of `poll` or `wait_until` of the executor; the operation may be started again before this returns.
  void complete(std::int64_t outcome) noexcept { completed_(*this, outcome); }

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
  void describe(asio_op op, int fd, std::span<std::byte> buffer, std::uint64_t offset) noexcept {
    op_ = op;
    fd_ = fd;
    buffer_ = buffer;
    offset_ = offset;
  }

  /// What `complete` calls.
  void (*completed_)(io_operation& operation, std::int64_t outcome) noexcept = nullptr;

 private:
  asio_op op_ = asio_op::free;
  int fd_ = -1;
  std::uint64_t offset_ = current_position;
  std::span<std::byte> buffer_;
};

/// A cheap, copyable, equality-comparable handle to something that carries out file operations without a thread of the
/// queue's: it starts many, completes them in any order, and tells when it is asked.
///
/// All calls come from the thread that uses the queue at the time; who lets queues of several threads share one engine
/// makes it thread-safe. No call comes from inside `start`.
///
/// - `start(operation)` begins it, or keeps it to begin with others at the next `poll` or `wait_until`. It must not
///   complete it. If it throws it has not taken it.
/// - `poll()` begins what was kept, and completes what is ready; does not block.
/// - `wait_until(deadline)` does the same, and blocks until something has been completed or the deadline has come. It
///   may return early. `time_point::max()` means no deadline. Not called unless something was started; called again by
///   whoever has to wait, whether it returned or threw.
template <class T>
concept io_executor =
    std::copy_constructible<T> && std::equality_comparable<T> &&
    requires(const T& target, io_operation& operation, std::chrono::steady_clock::time_point deadline) {
      target.start(operation);
      target.poll();
      target.wait_until(deadline);
    };

namespace detail {

template <class T>
inline constexpr bool is_choice_of_executors = false;
template <class... Executors>
inline constexpr bool is_choice_of_executors<std::variant<Executors...>> =
    ((executor<Executors> || io_executor<Executors>) && ...);

}  // namespace detail

/// What a queue can be on: something that runs tasks, something that carries out file operations itself, or a
/// `std::variant` of such, whose choice is made when the program runs.
template <class T>
concept queue_executor =
    executor<T> || io_executor<T> || (std::equality_comparable<T> && detail::is_choice_of_executors<T>);

}  // namespace asioq
