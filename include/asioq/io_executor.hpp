#pragma once

/// @file
/// Executors that carry out file operations themselves: io_uring, a simulated disk, or your own engine.

#include <asioq/executor.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/io_operation.hpp>

#include <chrono>
#include <concepts>
#include <variant>

namespace asioq {

/// A cheap, copyable, equality-comparable handle to something that carries out file operations itself. It starts many,
/// completes them in any order, and reports when it is asked.
///
/// All calls come from the thread that uses the queue at the time. An engine that queues of several threads share has
/// to be thread-safe. No call comes from inside `start`.
///
/// - `start(operation)` begins it, or keeps it to begin with others at the next `poll` or `wait_until`. It must not
///   complete it. If it throws it has not taken it.
/// - `poll()` begins what was kept, and completes what is ready; does not block.
/// - `wait_until(deadline)` does the same, and blocks until something has been completed or the deadline has come. It
///   may return early. `time_point::max()` means no deadline. It is called only while something is started, and called
///   again as long as the queue has to wait, whether it returned or threw.
/// - `describe(fd)`, which is optional, const and noexcept, returns the `file_facts` of a descriptor that is not one of
///   this machine's files. The queue then asks it where it would otherwise ask the kernel (fstat, fcntl, fstatfs). For
///   a number that means no file it returns a stream that is none of its files; the operation completes with -EBADF.
/// - `cancel(operation)`, which is optional and noexcept, asks to end an operation that has been started. It must not
///   complete it. The engine may end the operation early or take no notice. It completes it like any other, inside
///   `poll` or `wait_until`, with the bytes transferred, -ECANCELED or -EINTR.
/// - `native_handle()`, which is optional, begins what was kept, and returns a descriptor that is readable while `poll`
///   would complete something. It completes nothing, and may throw. A queue that has been asked for its descriptor
///   calls it at the end of each call that leaves nothing to find. A queue on an engine without it has no
///   `native_handle()`.
/// - `keep_readable(bool)`, which is optional and noexcept, comes with it. While it has been called with true more
///   often than with false, the descriptor stays readable. A queue asks for that when a call has left something to
///   collect or to deliver, or when another queue's `poll` has completed its operation. On an engine without it, an
///   event loop must serve one queue only, and must call that until it finds nothing.
template <class T>
concept io_executor =
    std::copy_constructible<T> && std::equality_comparable<T> &&
    requires(const T& target, io_operation& operation, std::chrono::steady_clock::time_point deadline) {
      target.start(operation);
      target.poll();
      target.wait_until(deadline);
    };

namespace detail {

/// An engine that has a `describe`, whatever it returns.
template <class T>
concept has_describe = requires(const T& target, int fd) { target.describe(fd); };

/// An engine whose descriptors mean what it says, not files of this machine.
template <class T>
concept describes_files = has_describe<T> && requires(const T& target, int fd) {
  { target.describe(fd) } noexcept -> std::same_as<file_facts>;
};

template <class T>
concept cancels = requires(const T& target, io_operation& operation) { target.cancel(operation); };

template <class T>
concept has_native_handle = requires(const T& target) {
  { target.native_handle() } -> std::same_as<int>;
};

template <class T>
concept keeps_readable = requires(const T& target) { target.keep_readable(true); };

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
