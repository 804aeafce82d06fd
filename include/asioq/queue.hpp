#pragma once

/// @file
/// The ordered queue.

#include <asioq/default_executor.hpp>
#include <asioq/detail/make_engine.hpp>
#include <asioq/detail/request_home.hpp>
#include <asioq/detail/single_user.hpp>
#include <asioq/detail/time.hpp>
#include <asioq/error.hpp>
#include <asioq/fwd.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <utility>

namespace asioq {

/// Carries out file operations asynchronously and in the order of their submission, with recycled, aligned buffers.
///
/// Take a request with `get()`, prepare it, `submit()` it, collect it with one of the waits; destroying the handle
/// recycles its buffer. A write-back needs no collecting unless it fails.
///
/// **Order.** Requests of one queue run one after another, in the order of their submission, and are returned in that order,
/// whatever the executor. With `execution_order::as_if_serial` those that cannot observe each other run at the same time;
/// what comes of it is the same. On executors of tasks, small requests that continue each other in a file may be carried out by
/// one system call: up to 64, 256 KiB in all, each with the result it would have alone. (Not under `failure_policy::hold`, where
/// one must not have begun if the one before it fails.) Requests of different queues may interleave. That a request has finished
/// does not make its data durable; only an fsync or fdatasync after it does.
///
/// **Threads.** A queue has one owner: all members are for one thread at a time (asserted where assertions are on). Another
/// thread may take over if that is synchronised. Operations run on the executor; a call that blocks (`wait`, `sync`,
/// `submit` of a write-back without room, the destructor) also runs them itself, on the owner's thread, when nobody has
/// begun. So no call ever waits for an executor that is busy with something else.
///
/// On an `io_executor` there are no tasks: operations are begun and completed inside the owner's calls.
///
/// **Lifetime.** The destructor waits for all that was submitted. Handles may outlive the queue. The executor must work as long
/// as the queue lives, and call every task; a task that comes after the queue's end does nothing.
///
/// **Allocations.** A request and its buffer are allocated with `Allocator` by the `get()` that finds none to recycle, and
/// freed when the queue goes (or the handle, if that is later), one at a time. The queue itself takes one small object
/// from `operator new`, which a late task may need longer than the allocator lives, and some bytes for each file that it
/// has to tell from others: those with unfinished requests, and those whose fsync has failed. Nothing else allocates.
///
/// @tparam Executor runs the operations; see `executor` and `io_executor`.
/// @tparam Allocator any standard allocator that honours over-aligned types; rebound, so its value type does not matter.
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

  /// A queue on a copy of `executor`, with a copy of `allocator`. Throws `std::invalid_argument` for options out of range,
  /// and `std::bad_alloc`.
  basic_asio_queue(Executor executor, queue_options options, const Allocator& allocator = Allocator())
      : options_(checked(std::move(options))),
        executor_(std::move(executor)),
        pool_(pool_type::make(options_.buffer_size, allocator)),
        engine_(make_engine()) {}

  /// A queue on a copy of `executor`, with default options. (A template, so that `{}` means options and no executor.)
  template <std::same_as<Executor> Exactly>
  explicit basic_asio_queue(Exactly executor) : basic_asio_queue(std::move(executor), queue_options{}) {}

  basic_asio_queue(const basic_asio_queue&) = delete;
  basic_asio_queue& operator=(const basic_asio_queue&) = delete;

  /// Waits until all has finished. For each failure to write or sync that was never reported it calls
  /// `queue_options::on_lost_failure`; without that, it prints a message and calls `std::terminate()`.
  ~basic_asio_queue() {
    finish_all();
    while (!done_.empty()) {
      asio_request request(done_.pop_front());
      if (is_loss(*request.block_)) report_loss(request);
    }
    engine_.leave();
    pool_.close();
  }

  /// An unused request with a buffer of `options().buffer_size` bytes. Recycles, else allocates: then it may throw
  /// `std::bad_alloc` or what the allocator throws, and the queue has not changed. Never blocks.
  [[nodiscard]] asio_request get() {
    const detail::single_user guard(in_use_);
    if (!pool_.has_idle()) harvest();
    return asio_request(pool_.take());
  }

  /// Hands a prepared request to the queue and leaves `request` empty. It may run and finish at once.
  ///
  /// A request that came back can be submitted again without preparing. Does not block, except for a write-back while
  /// `options().max_writebacks` of them are unfinished: then until the oldest has finished.
  ///
  /// If it throws, the caller keeps the request as it was:
  /// - `std::invalid_argument`: the handle is empty, nothing is prepared, or the request is another queue's;
  /// - `write_back_error`: this is a write-back, and a failed one has not been collected;
  /// - what the executor throws when it refuses the task.
  void submit(asio_request&& request) {
    const detail::single_user guard(in_use_);
    detail::request_block& block = request.block();
    if (block.home != &pool_) throw std::invalid_argument("asioq: the request belongs to another queue");
    if (block.op == asio_op::free) throw std::invalid_argument("asioq: nothing is prepared in the request");
    const bool is_write_back = block.op == asio_op::write_back;
    if (is_write_back) make_room();
    const detail::request_values before = block;
    block.sequence = submitted_;
    block.ends_hold = resumed_;
    block.reported = false;
    block.error = 0;
    block.transferred = 0;
    try {
      engine_.submit(block);
    } catch (...) {
      static_cast<detail::request_values&>(block) = before;
      if (is_write_back) engine_.give_room();
      throw;
    }
    request.block_ = nullptr;
    outstanding_.push_back(block);
    ++submitted_;
    if (is_write_back) ++running_writebacks_;
    resumed_ = false;
  }

  /// The first finished request that needs collecting, in the order of submission; blocks until there is one. Empty if
  /// nothing is running and nothing finished is left.
  [[nodiscard]] asio_request wait() {
    const detail::single_user guard(in_use_);
    harvest();
    while (done_.empty() && !outstanding_.empty()) {
      engine_.await(harvested_, next_to_collect());
      harvest();
    }
    return collect();
  }

  /// As `wait()`, but empty if nothing has finished yet. Never blocks, never carries out a request.
  ///
  /// This and the timed waits throw what the executor throws, changing nothing, if it has refused a task while the owner
  /// was leaving requests to it, and refuses again.
  [[nodiscard]] asio_request try_wait() {
    const detail::single_user guard(in_use_);
    engine_.poll(submitted_);
    harvest();
    return collect();
  }

  /// As `wait()`, but empty if nothing has finished for so long; any duration will do. Never carries out a request.
  template <class Rep, class Period>
  [[nodiscard]] asio_request wait_for(const std::chrono::duration<Rep, Period>& timeout) {
    return wait_until(detail::time_after(timeout));
  }

  /// As `wait()`, but empty if nothing has finished at the deadline. Never carries out a request.
  template <class Clock, class Duration>
  [[nodiscard]] asio_request wait_until(const std::chrono::time_point<Clock, Duration>& deadline) {
    const detail::single_user guard(in_use_);
    const typename Clock::time_point end(detail::saturate<typename Clock::duration>(deadline.time_since_epoch()));
    engine_.poll(submitted_);
    harvest();
    while (done_.empty() && !outstanding_.empty()) {
      const auto now = Clock::now();
      if (now >= end) break;
      engine_.await_until(harvested_, next_to_collect(), detail::time_after(detail::time_between(now, end)));
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

  /// Says that the caller has dealt with the failures up to now: what is submitted from here on runs again under
  /// `failure_policy::hold`, and fsync asks the kernel again. Without effect if nothing has failed since the last time.
  void resume() {
    const detail::single_user guard(in_use_);
    harvest();
    if (std::exchange(failed_since_resume_, false)) resumed_ = true;
  }

  /// Requests made so far, wherever they are: with the caller, submitted, finished or idle.
  [[nodiscard]] std::size_t allocated_requests() const noexcept { return pool_.allocated(); }

  /// Requests submitted and not yet finished.
  [[nodiscard]] std::size_t running_requests() const noexcept {
    return static_cast<std::size_t>(submitted_ - engine_.finished());
  }

  /// Write-backs submitted and not yet finished; at most `options().max_writebacks`.
  [[nodiscard]] std::size_t running_writebacks() const noexcept {
    std::size_t running = running_writebacks_;
    std::uint64_t unharvested = engine_.finished() - harvested_;
    for (const detail::request_block* block = outstanding_.front(); unharvested != 0;
         block = block->next_later, --unharvested)
      if (block->op == asio_op::write_back) --running;
    return running;
  }

  /// The options it was made with.
  [[nodiscard]] const queue_options& options() const noexcept { return options_; }
  /// The executor its operations run on.
  [[nodiscard]] const Executor& get_executor() const noexcept { return executor_; }
  /// A copy of its allocator.
  [[nodiscard]] Allocator get_allocator() const noexcept { return pool_.allocator(); }

  /// For the caller: how many parts of the program share this queue, say. The queue does not look at it.
  std::size_t use_count = 0;

 private:
  using pool_type = detail::request_pool<Allocator>;

  static queue_options checked(queue_options options) {
    if (options.buffer_size == 0) throw std::invalid_argument("asioq: buffer_size is 0");
    if (options.max_writebacks == 0) throw std::invalid_argument("asioq: max_writebacks is 0");
    if (options.max_in_flight == 0) throw std::invalid_argument("asioq: max_in_flight is 0");
    return options;
  }

  detail::engine& make_engine() {
    try {
      return detail::make_engine(executor_, options_);
    } catch (...) {
      pool_.close();
      throw;
    }
  }

  /// Moves what has finished, in order, to where it belongs.
  void harvest() noexcept {
    const std::uint64_t finished = engine_.finished();
    while (harvested_ != finished) {
      detail::request_block& block = outstanding_.pop_front();
      ++harvested_;
      const bool is_write_back = block.op == asio_op::write_back;
      if (is_write_back) --running_writebacks_;
      if (is_write_back && block.error == 0) {
        pool_.put(block);
        continue;
      }
      done_.push_back(block);
      if (block.error != 0) failed_since_resume_ = true;
      if (block.error != 0 && is_write_back) ++failed_writebacks_;
    }
  }

  asio_request collect() noexcept {
    if (done_.empty()) return {};
    detail::request_block& block = done_.pop_front();
    if (block.op == asio_op::write_back) --failed_writebacks_;
    return asio_request(block);
  }

  /// What finished() has to reach for the first request to come back, unless a write-back fails earlier.
  [[nodiscard]] std::uint64_t next_to_collect() const noexcept {
    const detail::request_block* block = outstanding_.front();
    while (block->op == asio_op::write_back && block->next_later != nullptr) block = block->next_later;
    return block->sequence + 1;
  }

  [[nodiscard]] std::uint64_t oldest_write_back() const noexcept {
    const detail::request_block* block = outstanding_.front();
    while (block->op != asio_op::write_back) block = block->next_later;
    return block->sequence + 1;
  }

  /// Takes a permit for a write-back, when there is one and none has failed.
  void make_room() {
    harvest();
    throw_if_write_back_failed();
    if (running_writebacks_ < options_.max_writebacks) {
      engine_.take_room();
      return;
    }
    engine_.await_room(oldest_write_back());
    harvest();
    try {
      throw_if_write_back_failed();
    } catch (...) {
      engine_.give_room();
      throw;
    }
  }

  void throw_if_write_back_failed() {
    if (failed_writebacks_ == 0) return;
    const detail::request_block* oldest = done_.front();
    while (oldest->op != asio_op::write_back) oldest = oldest->next;
    // Made before anything counts as reported: it may throw std::bad_alloc instead.
    const write_back_error error({oldest->error, std::system_category()}, oldest->fd, oldest->offset, oldest->length);
    for (detail::request_block* block = done_.front(); block != nullptr; block = block->next)
      if (block->op == asio_op::write_back) block->reported = true;
    throw write_back_error(error);
  }

  void finish_all() noexcept {
    harvest();
    while (!outstanding_.empty()) {
      engine_.await(harvested_, submitted_);
      harvest();
    }
  }

  static bool is_loss(const detail::request_block& block) noexcept {
    return block.error != 0 && block.op != asio_op::read && !block.reported;
  }

  void report_loss(asio_request& request) noexcept {
    if (options_.on_lost_failure) {
      options_.on_lost_failure(request);
      return;
    }
    std::fprintf(stderr,
                 "asioq: a queue is destroyed and nobody was told that %zu bytes for descriptor %d failed: %s\n",
                 request.length(), request.fd(), request.error().message().c_str());
    std::terminate();
  }

  // All for the owner only; what it shares with the runner is in engine_.
  queue_options options_;
  Executor executor_;                                                   // constant
  pool_type& pool_;                                                     // all requests
  detail::engine& engine_;                                              // those submitted
  detail::block_fifo<&detail::request_block::next_later> outstanding_;  // submitted and not harvested, oldest first
  detail::block_fifo<&detail::request_block::next> done_;               // finished and not collected, oldest first
  std::uint64_t submitted_ = 0;                                         // requests ever submitted
  std::uint64_t harvested_ = 0;                                         // of these, no longer in outstanding_
  std::size_t running_writebacks_ = 0;                                  // write-backs in outstanding_
  std::size_t failed_writebacks_ = 0;                                   // write-backs in done_
  bool failed_since_resume_ = false;
  bool resumed_ = false;  // the next submission ends a hold
  detail::single_user_flag in_use_;
};

/// The queue with everything default: the program's shared pool, `std::allocator`.
using asio_queue = basic_asio_queue<>;

}  // namespace asioq
