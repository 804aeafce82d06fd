#pragma once

/// @file
/// How a queue behaves: chosen once, when it is made.

#include <cstddef>
#include <functional>

namespace asioq {

class asio_request;

/// Alignment of every request's buffer, in bytes: enough for O_DIRECT on every device with sectors of up to 4 KiB.
inline constexpr std::size_t buffer_alignment = 4096;

/// Which requests of one queue may run at the same time. Requests of different queues always may.
enum class execution_order {
  /// One after another, in the order of their submission.
  strict,
  /// At the same time, where no request can observe the other, so the results are those of `strict`. A queue compares
  /// files by device and inode. It does not notice that two inodes are one file (hard links on some FUSE file systems),
  /// that a file is on a disk that is also used directly, or that a zoned device accepts writes only in order.
  as_if_serial
};

/// What a sync holds up in `execution_order::as_if_serial`. In strict order it holds up everything.
enum class sync_barrier {
  full,  ///< No younger request on the file begins before the sync has finished: "data, sync, header".
  /// Younger requests on the file may begin before, except syncs and `asio_op::close`. The sync still waits for all
  /// older ones and makes them durable. Which of the younger ones it makes durable, and which it may lose if it fails,
  /// depends on when they run.
  none
};

/// What happens to the requests after one that failed.
enum class failure_policy {
  proceed,  ///< They run as if nothing had happened.
  /// None of them begins: each comes back with `std::errc::operation_canceled` and its data until `resume()`. As if
  /// serial, those that are already running go on to their end, and may succeed, or fail with errors of their own.
  hold
};

/// The options of a queue, in the order that designated initialisers need.
struct queue_options {
  /// Bytes in each request's buffer, > 0. Memory is taken in multiples of `buffer_alignment`.
  std::size_t buffer_size = std::size_t{64} * 1024;
  /// Write-backs that may be submitted and not yet finished, > 0. The next `submit` of a write-back waits for the
  /// oldest one, and so for all that is older than that.
  std::size_t max_writebacks = 16;
  /// See `execution_order`.
  execution_order order = execution_order::strict;
  /// Requests that may run at the same time, > 0; used only by `execution_order::as_if_serial`.
  std::size_t max_in_flight = 32;
  /// See `failure_policy`.
  failure_policy on_failure = failure_policy::proceed;
  /// The queue's destructor calls this, on its thread, for each failed request, except reads, whose failure was never
  /// reported: neither returned by a wait, nor given to a receiver, nor covered by a thrown `write_back_error`. The
  /// request still has its error and its data, and may be moved from to keep them. The function must not throw.
  /// `submit` throws meanwhile. If this is empty, the destructor prints a message to stderr and, unless the program
  /// already knows of a failure (see `~basic_asio_queue`), calls `std::terminate()`.
  ///
  /// A call that delivers also calls it, or prints the message, if such a request is that of a coroutine that has been
  /// destroyed (see `async_submission`).
  std::function<void(asio_request&)> on_lost_failure = {};
  /// How many requests the queue makes at most, idle ones included; 0 means no limit. Beyond it `get()` throws
  /// `std::errc::not_enough_memory` and `try_get()` returns an empty handle.
  std::size_t max_requests = 0;
};

}  // namespace asioq
