#pragma once

/// @file
/// The ordered queue.

#include <asioq/default_executor.hpp>
#include <asioq/detail/dispatch/make_dispatcher.hpp>
#include <asioq/detail/request/ledger.hpp>
#include <asioq/detail/request/pool.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/support/single_user.hpp>
#include <asioq/detail/support/time.hpp>
#include <asioq/error.hpp>
#include <asioq/fwd.hpp>
#include <asioq/operation.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <system_error>
#include <utility>

namespace asioq {

/// Carries out file operations asynchronously and in the order of their submission, with recycled, aligned buffers.
///
/// Take a request with `get()`, prepare it, `submit()` it, collect it with one of the waits; destroying the handle
/// recycles its buffer. A write-back needs no collecting unless it fails.
///
/// **Order.** Requests of one queue run one after another, in the order of their submission, and are returned in that
/// order, whatever the executor. With `execution_order::as_if_serial` those that cannot observe each other run at the
/// same time; the results are the same. Requests of different queues may interleave. A finished request has not made
/// its data durable; only an fsync or fdatasync after it does.
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
/// (`wait`, `sync`, `submit` of a write-back that has to wait, the destructor) also carries them out itself, on the
/// owner's thread, if no task has begun them. So these calls never wait for an executor that is busy with something
/// else. The timed waits carry out nothing: while the executor is busy they may return empty.
///
/// An executor that runs tasks inside `execute` (`inline_executor`, for one) is the exception to "does not block".
/// There the call that hands over a task carries out requests: `submit`, and at times `try_wait` and the timed waits.
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
/// takes some bytes for each file that it has to tell from others: those with unfinished requests, and those whose
/// fsync has failed. Nothing else allocates.
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
      : options_(checked(std::move(options))),
        executor_(std::move(executor)),
        pool_(pool_type::make(options_.buffer_size, allocator)),
        dispatcher_(make_dispatcher()),
        exceptions_before_(std::uncaught_exceptions()) {}

  /// A queue on a copy of `executor`, with default options. (A template, so that `{}` means options and no executor.)
  template <std::same_as<Executor> Exactly>
  explicit basic_asio_queue(Exactly executor) : basic_asio_queue(std::move(executor), queue_options{}) {}

  basic_asio_queue(const basic_asio_queue&) = delete;
  basic_asio_queue& operator=(const basic_asio_queue&) = delete;

  /// Waits until all has finished. For each failure that would lose data and was never reported it calls
  /// `queue_options::on_lost_failure`; without that, it prints a message and calls `std::terminate()`.
  ///
  /// It prints the message and does not terminate if the program already knows that something went wrong. It does if,
  /// since the last `resume()`, a `write_back_error` or a handle that came back has told the owner of a failure to
  /// write or sync (of anything but a read), or if an exception that began after the queue was made is unwinding.
  ~basic_asio_queue() {
    finish_all();
    is_closing_ = true;
    const bool must_terminate = !ledger_.owner_was_told() && std::uncaught_exceptions() <= exceptions_before_;
    while (detail::request_record* const record = ledger_.collect()) {
      asio_request request(*record);
      if (detail::ledger::is_loss(*record)) report_loss(request, must_terminate);
    }
    dispatcher_.leave();
    pool_.close();
  }

  /// An unused request with a buffer of `options().buffer_size` bytes. Never blocks. If it finds nothing to recycle it
  /// allocates, and may throw what the allocator throws, changing nothing. Throws `std::system_error`
  /// (`std::errc::not_enough_memory`) if there are `options().max_requests` requests, and none of them is idle.
  [[nodiscard]] asio_request get() {
    asio_request request = try_get();
    if (!request) detail::refuse(std::errc::not_enough_memory, "asioq: all max_requests requests are in use");
    return request;
  }

  /// As `get()`, but returns an empty handle where `max_requests` would make that throw.
  [[nodiscard]] asio_request try_get() {
    const detail::single_user guard(in_use_);
    if (!pool_.has_idle()) harvest();
    if (pool_.has_idle()) return asio_request(pool_.take());
    if (options_.max_requests != 0 && pool_.size() >= options_.max_requests) return {};
    return asio_request(pool_.make_record());
  }

  /// Hands a prepared request to the queue and leaves `request` empty. It may run and finish at once.
  ///
  /// A request that came back can be submitted again without preparing. Does not block, except for a write-back while
  /// `options().max_writebacks` of them are unfinished: then until the oldest has finished.
  ///
  /// If it throws, the caller keeps the request as it was:
  /// - `std::invalid_argument`: the handle is empty, nothing is prepared, or the request is another queue's;
  /// - `write_back_error`: this is a write-back, and a failed one has not been collected;
  /// - `std::system_error` (`std::errc::operation_not_permitted`): the queue is being destroyed, and this is called by
  ///   `queue_options::on_lost_failure`;
  /// - what the executor throws when it refuses the task;
  /// - `std::bad_alloc`: as if serial, there is no memory to note another file.
  void submit(asio_request&& request) {
    const detail::single_user guard(in_use_);
    detail::request_record& record = request.record();
    if (record.home != &pool_) detail::refuse("asioq: the request belongs to another queue");
    if (record.op == asio_op::free) detail::refuse("asioq: nothing is prepared in the request");
    if (is_closing_) detail::refuse(std::errc::operation_not_permitted, "asioq: the queue is being destroyed");
    if (record.op == asio_op::write_back) make_room();
    const detail::submission before =
        record.begin({.sequence = ledger_.entered(), .acknowledged = ledger_.acknowledged()});
    try {
      dispatcher_.submit(record);
    } catch (...) {
      record.begin(before);
      throw;
    }
    request.record_ = nullptr;
    ledger_.enter(record);
  }

  /// The first finished request that needs collecting, in the order of submission; blocks until there is one. Empty if
  /// nothing is running and nothing finished is left.
  [[nodiscard]] asio_request wait() {
    const detail::single_user guard(in_use_);
    harvest();
    while (!ledger_.has_collectable() && ledger_.has_outstanding()) {
      dispatcher_.await(ledger_.settled(), ledger_.next_to_collect());
      harvest();
    }
    return collect();
  }

  /// As `wait()`, but empty if nothing has finished yet. Never blocks, never carries out a request, except where the
  /// executor does so inside the call: in `execute`, or for what io_uring cannot do (see `uring_context`).
  ///
  /// This and the timed waits throw what the executor throws, changing nothing, if it has refused a task while the
  /// owner was leaving requests to it, and refuses again.
  [[nodiscard]] asio_request try_wait() {
    const detail::single_user guard(in_use_);
    dispatcher_.poll(ledger_.entered());
    harvest();
    return collect();
  }

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
    const detail::single_user guard(in_use_);
    const typename Clock::time_point end(detail::saturate<typename Clock::duration>(deadline.time_since_epoch()));
    dispatcher_.poll(ledger_.entered());
    harvest();
    while (!ledger_.has_collectable() && ledger_.has_outstanding()) {
      const auto now = Clock::now();
      if (now >= end) break;
      dispatcher_.await_until(ledger_.settled(), ledger_.next_to_collect(),
                              detail::time_after(detail::time_between(now, end)));
      harvest();
    }
    return collect();
  }

  /// Blocks until all submitted requests have finished; those that need collecting stay for the waits.
  ///
  /// Throws `write_back_error` then, if a write-back has failed (or was cancelled) and has not been collected. This is
  /// not fsync: what was written may still be in the kernel's memory only.
  void sync() {
    const detail::single_user guard(in_use_);
    finish_all();
    throw_if_write_back_failed();
  }

  /// Says that the caller has dealt with the failures of all requests that have finished up to now. What is submitted
  /// from here on runs again under `failure_policy::hold`, and fsync asks the kernel again. A failure of a request that
  /// is still running counts when it comes. Without effect if nothing has failed since the last time.
  void resume() {
    const detail::single_user guard(in_use_);
    harvest();
    ledger_.acknowledge();
  }

  /// Requests that are out of the idle list: with the caller, submitted, or finished and not collected. 0 at the end
  /// means that none was leaked.
  [[nodiscard]] std::size_t allocated_requests() const noexcept { return pool_.size() - pool_.idle(); }

  /// Requests that wait to be recycled. `shrink_to_fit` frees them.
  [[nodiscard]] std::size_t idle_requests() const noexcept { return pool_.idle(); }

  /// Frees the idle requests and their buffers.
  void shrink_to_fit() noexcept {
    const detail::single_user guard(in_use_);
    harvest();
    pool_.free_idle();
  }

  /// Requests submitted and not yet finished, in the sense of "Finished" above.
  [[nodiscard]] std::size_t running_requests() const noexcept {
    return static_cast<std::size_t>(ledger_.entered() - dispatcher_.finished());
  }

  /// Write-backs submitted and not yet finished; at most `options().max_writebacks`.
  [[nodiscard]] std::size_t running_writebacks() const noexcept {
    return ledger_.running_write_backs(dispatcher_.finished());
  }

  /// All requests with a `sequence()` below this have finished. Younger ones may have been carried out, too.
  [[nodiscard]] std::uint64_t completed_through() const noexcept { return dispatcher_.finished(); }

  /// The options it was made with.
  [[nodiscard]] const queue_options& options() const noexcept { return options_; }
  /// The executor its operations run on.
  [[nodiscard]] const Executor& get_executor() const noexcept { return executor_; }
  /// A copy of its allocator.
  [[nodiscard]] Allocator get_allocator() const noexcept { return pool_.allocator(); }

  /// For the caller, to count the parts of the program that share this queue, for example. The queue never reads it.
  std::size_t use_count = 0;

 private:
  using pool_type = detail::request_pool<Allocator>;

  static queue_options checked(queue_options options) {
    if (options.buffer_size == 0) detail::refuse("asioq: buffer_size is 0");
    if (options.max_writebacks == 0) detail::refuse("asioq: max_writebacks is 0");
    if (options.max_in_flight == 0) detail::refuse("asioq: max_in_flight is 0");
    return options;
  }

  detail::dispatcher& make_dispatcher() {
    try {
      return detail::make_dispatcher(executor_, options_);
    } catch (...) {
      pool_.close();
      throw;
    }
  }

  /// Takes in what has finished, without blocking.
  void harvest() noexcept {
    ledger_.settle(dispatcher_.finished(), [this](detail::request_record& record) { pool_.put(record); });
  }

  asio_request collect() noexcept {
    detail::request_record* const record = ledger_.collect();
    return record == nullptr ? asio_request() : asio_request(*record);
  }

  /// Returns when one more write-back may be submitted.
  void make_room() {
    for (;;) {
      harvest();
      throw_if_write_back_failed();
      if (ledger_.outstanding_write_backs() < options_.max_writebacks) return;
      dispatcher_.await(ledger_.settled(), ledger_.oldest_write_back());
    }
  }

  void throw_if_write_back_failed() {
    if (ledger_.failed_write_backs() == 0) return;
    const detail::request_record& oldest = ledger_.oldest_failed_write_back();
    // Made before anything counts as reported: it may throw std::bad_alloc instead.
    const write_back_error error({oldest.error, std::system_category()}, oldest.fd, oldest.offset, oldest.length);
    ledger_.mark_reported();
    throw write_back_error(error);
  }

  void finish_all() noexcept {
    harvest();
    while (ledger_.has_outstanding()) {
      dispatcher_.await(ledger_.settled(), ledger_.entered());
      harvest();
    }
  }

  void report_loss(asio_request& request, bool must_terminate) noexcept {
    if (options_.on_lost_failure) {
      options_.on_lost_failure(request);
      return;
    }
    std::fprintf(
        stderr,
        "asioq: a queue is destroyed with a failure that was not reported: %s of %zu bytes, descriptor %d: %s\n",
        traits_of(request.op()).name, request.length(), request.fd(), request.error().message().c_str());
    if (must_terminate) std::terminate();
  }

  // For the owner only. What it shares with other threads is in dispatcher_ and pool_.
  queue_options options_;
  Executor executor_;               // constant
  pool_type& pool_;                 // all requests
  detail::dispatcher& dispatcher_;  // carries out those submitted
  detail::ledger ledger_;           // keeps their books from submission until they are collected
  int exceptions_before_;           // constant: exceptions that were unwinding when the queue was made
  bool is_closing_ = false;         // inside the destructor
  detail::single_user_flag in_use_;
};

/// The queue with everything default: the program's shared pool, `std::allocator`.
using asio_queue = basic_asio_queue<>;

}  // namespace asioq
