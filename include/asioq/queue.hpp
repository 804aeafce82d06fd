#pragma once

/// @file
/// The ordered queue.

#include <asioq/async_submit.hpp>
#include <asioq/completion.hpp>
#include <asioq/default_executor.hpp>
#include <asioq/detail/dispatch/dispatcher.hpp>
#include <asioq/detail/dispatch/make_dispatcher.hpp>
#include <asioq/detail/queue/queue_core.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/support/time.hpp>
#include <asioq/fwd.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <system_error>
#include <utility>

namespace asioq {

/// Carries out file operations asynchronously and in the order of their submission, with recycled, aligned buffers.
///
/// Take a request with `get()`, prepare it, `submit()` it, collect it with one of the waits; destroying the handle
/// recycles its buffer. A write-back needs no collecting unless it fails. Or submit it with a receiver, which gets it
/// inside `poll`, `run_one` or a wait: see `completion`, and `async_submit` for coroutines.
///
/// **Order.** Requests of one queue run one after another, in the order of their submission, and are returned in that
/// order, whatever the executor. With `execution_order::as_if_serial`, requests that cannot observe each other run at
/// the same time, with the same results. Requests of different queues may interleave. A finished write has not made its
/// data durable; only an fsync or fdatasync after it does.
///
/// **Finished.** A request counts as finished only when all older ones of its queue have finished, too, in either
/// order. So a slow request delays what the waits return, the counts, and the room for further write-backs. As if
/// serial, it does not delay the work of requests that it does not conflict with.
///
/// **Merging.** On executors of tasks, one system call may carry out several small requests that continue each other in
/// a file, up to 64 and 256 KiB in all. Each has the result it would have alone. Only requests on disks and on known
/// local file systems are merged, and none under `failure_policy::hold`, where a request must not have begun if the one
/// before it fails.
///
/// **Threads.** A queue has one owner: all members are for one thread at a time (asserted where assertions are on).
/// Another thread may take over if the program synchronises that. Operations run on the executor. A call that blocks
/// (`wait`, `run_one`, `sync`, `submit` of a write-back that has to wait, the destructor) also carries them out itself,
/// on the owner's thread, if no task has begun them. So these calls never wait for an executor that is busy with
/// something else. The timed waits and the wait with a stop token carry out nothing: while the executor is busy they
/// may return empty.
///
/// An executor that runs tasks inside `execute` (`inline_executor`, for one) is the exception to "does not block".
/// There the call that hands over a task carries out requests: `submit`, and at times `poll`, `try_wait`, the timed
/// waits and the wait with a stop token.
///
/// An `io_executor` has no tasks. The owner's calls begin and complete operations.
///
/// **System calls of the owner.** On executors of tasks a call that does not block makes no system call about files,
/// unless it runs a task inside `execute`. On an `io_executor` the owner asks what a descriptor means (fstat, fcntl,
/// fstatfs, or `describe`): in as-if-serial order in `submit`, and at times in the waits, when a second request is
/// unfinished; in both orders which file a sync means, after one has failed.
///
/// **Lifetime.** The destructor waits for all that was submitted. Handles may outlive the queue. The executor must work
/// as long as the queue lives, and call every task. A task that comes after the queue's end does nothing.
///
/// **Allocations.** A `get()` that finds nothing to recycle allocates a request and its buffer with `Allocator`. They
/// are freed by `shrink_to_fit`, with the queue, or with the handle if that is later, one at a time. The queue itself
/// takes one small object from `operator new`, which a late task may need longer than the allocator lives. It also
/// takes some bytes for each file that it has to tell apart: files with unfinished requests, and files whose fsync has
/// failed. Nothing else allocates.
///
/// @tparam Executor runs the operations; see `executor` and `io_executor`.
/// @tparam Allocator any standard allocator that honours over-aligned types; rebound, so its value type does not
///   matter.
template <queue_executor Executor, class Allocator>
class basic_asio_queue {
 public:
  /// The type of `get_executor()`.
  using executor_type = Executor;
  /// The type of `get_allocator()`.
  using allocator_type = Allocator;

  /// A queue on a default-constructed executor; for `default_executor`, on the pool that all such queues share.
  /// Throws as the other constructor, and what constructing the executor throws.
  explicit basic_asio_queue(queue_options options = {}, const Allocator& allocator = Allocator())
    requires std::default_initializable<Executor>
      : basic_asio_queue(Executor(), std::move(options), allocator) {}

  /// A queue on a copy of `executor`, with a copy of `allocator`. Throws `std::invalid_argument` for options out of
  /// range, and `std::bad_alloc`.
  basic_asio_queue(Executor executor, queue_options options, const Allocator& allocator = Allocator())
      : executor_(std::move(executor)),
        core_(std::move(options), allocator, [this](const queue_options& its) -> detail::dispatcher& {
          return detail::make_dispatcher(executor_, its);
        }) {}

  /// A queue on a copy of `executor`, with default options. (A template, so that `{}` means options and no executor.)
  template <std::same_as<Executor> Exactly>
  explicit basic_asio_queue(Exactly executor) : basic_asio_queue(std::move(executor), queue_options{}) {}

  basic_asio_queue(const basic_asio_queue&) = delete;
  basic_asio_queue& operator=(const basic_asio_queue&) = delete;

  /// Waits until all requests have finished. For each failure that would lose data and was never reported it calls
  /// `queue_options::on_lost_failure`; without that, it prints a message and calls `std::terminate()`.
  ///
  /// It prints the message and does not terminate if the program already knows that something went wrong. It does if,
  /// since the last `resume()`, a `write_back_error` or a handle that came back has told the owner of a failure to
  /// write or sync (of anything but a read), or if an exception that began after the queue was made is unwinding.
  ~basic_asio_queue() = default;

  /// An unused request with a buffer of `options().buffer_size` bytes. Never blocks. If it finds nothing to recycle it
  /// allocates, and may throw what the allocator throws, changing nothing. Throws `std::system_error`
  /// (`std::errc::not_enough_memory`) if there are `options().max_requests` requests, and none of them is idle.
  [[nodiscard]] asio_request get() {
    asio_request request = try_get();
    if (!request) detail::refuse(std::errc::not_enough_memory, "asioq: all max_requests requests are in use");
    return request;
  }

  /// As `get()`, but returns an empty handle where `max_requests` would make that throw.
  [[nodiscard]] asio_request try_get() { return core_.try_get(); }

  /// Hands a prepared request to the queue and leaves `request` empty. It may run and finish at once.
  ///
  /// A request that came back can be submitted again without preparing. Does not block, except for a write-back while
  /// `options().max_writebacks` of them are unfinished: then until the oldest has finished.
  ///
  /// If it throws, the caller keeps the request as it was:
  /// - `std::invalid_argument`: the handle is empty, nothing is prepared, or the request is another queue's;
  /// - `write_back_error`: this is a write-back, and a failed one has not been collected;
  /// - `std::system_error` (`std::errc::operation_not_permitted`): the queue is being destroyed, and a receiver, a
  ///   coroutine or `queue_options::on_lost_failure` calls this;
  /// - what the executor throws when it refuses the task;
  /// - `std::bad_alloc`: as if serial, there is no memory to note another file.
  void submit(asio_request&& request) { core_.submit(request, nullptr); }

  /// The same for a request that `receiver` gets when it has finished, instead of a wait (see `completion`). The
  /// receiver gets every request. So a write-back does not recycle itself, its failure raises no `write_back_error`,
  /// and this overload throws none. Requests that have finished and wait for their delivery take no room from
  /// `max_writebacks`.
  void submit(asio_request&& request, completion& receiver) { core_.submit(request, &receiver); }

  /// The same for a coroutine: `asio_request done = co_await queue.async_submit(std::move(request));`. The request is
  /// submitted when the result is awaited. See `async_submission`, also for `stop`.
  async_submission<basic_asio_queue> async_submit(asio_request&& request, std::stop_token stop = {}) noexcept {
    return {*this, request, std::move(stop)};
  }

  /// The first finished request that needs collecting, in the order of submission; blocks until there is one. Empty if
  /// nothing is running and nothing finished is left.
  [[nodiscard]] asio_request wait() { return core_.wait(); }

  /// As `wait()`, but returns an empty handle, too, once the token has been asked to stop, on any thread. It cancels
  /// nothing: what runs goes on, and a later wait returns it. If the token can never be asked to stop
  /// (`stop_possible()` is false), this is `wait()`.
  ///
  /// Otherwise, like `try_wait()`, it never carries out a request, and throws what the executor throws. It sleeps on
  /// descriptors, so it also throws what `native_handle()` throws, and `std::system_error` if there are no descriptors
  /// left.
  [[nodiscard]] asio_request wait(const std::stop_token& stop) { return core_.wait(stop); }

  /// As `wait()`, but empty if nothing has finished yet. Never blocks, never carries out a request, except where the
  /// executor does so inside the call: in `execute`, or for what io_uring cannot do (see `uring_context`).
  ///
  /// This, `poll` and the timed waits throw what the executor throws, changing nothing, if it has refused a task while
  /// the owner was leaving requests to it, and refuses again.
  [[nodiscard]] asio_request try_wait() { return core_.try_wait(); }

  /// As `wait()`, but empty if nothing has finished within `timeout`. Any duration is valid; one that is not a number
  /// counts as zero. Never carries out a request, with the exceptions of `try_wait()`.
  template <class Rep, class Period>
  [[nodiscard]] asio_request wait_for(const std::chrono::duration<Rep, Period>& timeout) {
    return wait_until(detail::time_after(timeout));
  }

  /// As `wait()`, but empty if nothing has finished at the deadline. Never carries out a request, with the exceptions
  /// of `try_wait()`.
  template <class Clock, class Duration>
  [[nodiscard]] asio_request wait_until(const std::chrono::time_point<Clock, Duration>& deadline) {
    using time_point = typename Clock::time_point;
    return core_.template wait_until<Clock>(
        time_point(detail::saturate<typename Clock::duration>(deadline.time_since_epoch())));
  }

  /// Begins what is due, takes in what has finished, and delivers the finished requests that have a receiver. Returns
  /// how many it has delivered. Never blocks, never carries out a request, with the exceptions of `try_wait()`, and
  /// throws what that throws.
  ///
  /// It delivers what had finished when it was called. So it returns even if a receiver submits again each time.
  std::size_t poll() { return core_.poll(); }

  /// Blocks until a request with a receiver has finished, and delivers it. Returns 1, or 0 if there is none left.
  std::size_t run_one() { return core_.run_one(); }

  /// A descriptor for poll(2), epoll(7) and every event loop: readable, level-triggered, while `poll()` or `try_wait()`
  /// would find something. Call either when it is readable. Do not read from it, write to it or close it.
  ///
  /// On executors of tasks it is an eventfd(2), which the first call makes. It is written to at most once for each time
  /// that the owner has found nothing, and only for what can be delivered or collected, not for a request that is done
  /// before an older one. On io_uring it is the ring's own descriptor, which all queues on the ring share: call
  /// `poll()` of each. For other engines see `io_executor`.
  ///
  /// Once the program has asked for it, each call of the owner leaves the descriptor in the right state, and leaves no
  /// operation prepared and not submitted. That costs a call some nanoseconds, or a system call. The descriptor is
  /// valid until the queue (on io_uring, the ring) is destroyed. Throws `std::system_error`:
  /// `std::errc::operation_not_supported` if the executor has none, or the reason why the kernel makes none.
  [[nodiscard]] int native_handle() { return core_.native_handle(); }

  /// Blocks until all submitted requests have finished; those that need collecting stay for the waits.
  ///
  /// Throws `write_back_error` then, if a write-back has failed (or was cancelled) and has not been collected. This is
  /// not fsync: what was written may still be in the kernel's memory only.
  void sync() { core_.sync(); }

  /// Says that the caller has dealt with the failures of all requests that have finished up to now. What is submitted
  /// from here on runs again under `failure_policy::hold`, and fsync asks the kernel again. A failure of a request that
  /// is still running counts when it comes. Without effect if nothing has failed since the last time.
  void resume() { core_.resume(); }

  /// Cancels all that has been submitted and has not begun: it comes back, in order, with
  /// `std::errc::operation_canceled` and its data, write-backs too. Requests submitted later are not concerned. Does
  /// not block and does not throw. Takes time in proportion to the requests that are unfinished.
  ///
  /// What has begun runs to completion. A queue on an `io_executor` that can `cancel` asks it to end that early.
  /// io_uring ends transfers of pipes, sockets and terminals, which come back with `std::errc::operation_canceled` and
  /// what they had transferred. Under `failure_policy::hold` such a request counts as a failure only if it had
  /// transferred something, and what had not begun never does.
  ///
  /// A cancelled write-back without a receiver is one that failed: collect it, or its data counts as lost. After this
  /// call the destructor of a queue waits only for what has begun.
  void cancel() { core_.cancel(); }

  /// Requests that are out of the idle list: with the caller, submitted, or finished and neither collected nor
  /// delivered. 0 at the end means that none was leaked.
  [[nodiscard]] std::size_t allocated_requests() const noexcept { return core_.allocated_requests(); }

  /// Requests that wait to be recycled. `shrink_to_fit` frees them.
  [[nodiscard]] std::size_t idle_requests() const noexcept { return core_.idle_requests(); }

  /// Frees the idle requests and their buffers.
  void shrink_to_fit() noexcept { core_.shrink_to_fit(); }

  /// Requests submitted and not yet finished, in the sense of "Finished" above.
  [[nodiscard]] std::size_t running_requests() const noexcept { return core_.running_requests(); }

  /// Write-backs submitted and not yet finished; at most `options().max_writebacks`.
  [[nodiscard]] std::size_t running_writebacks() const noexcept { return core_.running_writebacks(); }

  /// All requests with a `sequence()` below this have finished. Younger ones may have been carried out, too.
  [[nodiscard]] std::uint64_t completed_through() const noexcept { return core_.completed_through(); }

  /// The options it was made with.
  [[nodiscard]] const queue_options& options() const noexcept { return core_.options(); }
  /// The executor its operations run on.
  [[nodiscard]] const Executor& get_executor() const noexcept { return executor_; }
  /// A copy of its allocator.
  [[nodiscard]] Allocator get_allocator() const noexcept { return core_.allocator(); }

  /// For the caller, to count the parts of the program that share this queue, for example. The queue never reads it.
  std::size_t use_count = 0;

 private:
  friend struct detail::request_access;

  Executor executor_;                   // constant
  detail::queue_core<Allocator> core_;  // its dispatcher refers to the executor
};

/// The queue with everything default: the program's shared pool, `std::allocator`.
using asio_queue = basic_asio_queue<>;

}  // namespace asioq
