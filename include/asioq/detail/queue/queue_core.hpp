#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/completion.hpp>
#include <asioq/detail/dispatch/dispatcher.hpp>
#include <asioq/detail/request/ledger.hpp>
#include <asioq/detail/request/pool.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/event.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/support/single_user.hpp>
#include <asioq/detail/support/time.hpp>
#include <asioq/detail/support/wake.hpp>
#include <asioq/error.hpp>
#include <asioq/operation.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <limits>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>

namespace asioq::detail {

/// What the calls of a queue's owner do. `basic_asio_queue` says what they promise.
///
/// It connects the ledger with the dispatcher, which carries requests out, and with the pool, which keeps the idle
/// ones. What has finished goes through two steps. Every call that has to know takes it into the ledger (`harvest`).
/// Only the few calls that may then give it to its receivers (`deliver`). While a receiver has the thread, the queue is
/// in a state in which any call may be made.
///
/// The program may sleep on `native_handle()` whenever the owner is in none of these calls. So each call that may have
/// changed what there is to find ends with `say_readiness`.
template <class Allocator>
class queue_core {
  using pool_type = request_pool<Allocator>;

 public:
  /// `make_dispatcher(options)` is called once.
  template <class MakeDispatcher>
  queue_core(queue_options options, const Allocator& allocator, MakeDispatcher make_dispatcher)
      : options_(checked(std::move(options))),
        pool_(pool_type::make(options_.buffer_size, allocator)),
        dispatcher_(made_by(make_dispatcher)),
        exceptions_before_(std::uncaught_exceptions()) {}

  queue_core(const queue_core&) = delete;
  queue_core& operator=(const queue_core&) = delete;

  ~queue_core() {
    if (is_delivering_) fail("asioq: a queue is destroyed by a receiver that it delivers to");
    is_closing_ = true;
    finish_all();
    has_handle_ = false;
    {
      call its(*this);
      deliver(its);
    }
    const bool must_terminate = !ledger_.owner_was_told() && std::uncaught_exceptions() <= exceptions_before_;
    while (request_record* const record = ledger_.collect()) {
      asio_request request(*record);
      if (ledger::is_loss(*record)) report_loss(request, must_terminate);
    }
    dispatcher_.leave();
    pool_.close();
  }

  [[gnu::always_inline]] asio_request try_get() {
    const single_user guard(in_use_);
    if (!pool_.has_idle()) harvest();
    if (pool_.has_idle()) return asio_request(pool_.take());
    if (options_.max_requests != 0 && pool_.size() >= options_.max_requests) return {};
    return asio_request(pool_.make_record());
  }

  void submit(asio_request& request, completion* receiver) {
    const call its(*this);
    request_record& record = request.record();
    if (record.home != &pool_) refuse("asioq: the request belongs to another queue");
    if (record.op == asio_op::free) refuse("asioq: nothing is prepared in the request");
    if (is_closing_) refuse(std::errc::operation_not_permitted, "asioq: the queue is being destroyed");
    if (record.op == asio_op::write_back) make_room(receiver == nullptr);
    const submission before = record.begin({.sequence = ledger_.entered(), .acknowledged = ledger_.acknowledged()});
    try {
      dispatcher_.submit(record);
    } catch (...) {
      record.begin(before);
      throw;
    }
    request.record_ = nullptr;
    record.receiver = receiver;
    record.has_receiver = receiver != nullptr;
    ledger_.enter(record);
  }

  asio_request wait() {
    call its(*this, may_deliver);
    for (;;) {
      harvest();
      deliver(its);
      if (ledger_.has_collectable() || is_empty()) return collect();
      await();
    }
  }

  asio_request try_wait() {
    call its(*this, may_deliver);
    dispatcher_.poll(ledger_.entered());
    harvest();
    deliver(its);
    return collect();
  }

  template <class Clock>
  asio_request wait_until(typename Clock::time_point end) {
    call its(*this, may_deliver);
    for (dispatcher_.poll(ledger_.entered());;) {
      harvest();
      deliver(its);
      if (ledger_.has_collectable() || is_empty()) return collect();
      const auto now = Clock::now();
      if (now >= end) return {};
      if (ledger_.has_deliverable()) continue;
      dispatcher_.await_until(ledger_.settled(), next_to_come_back(), time_after(time_between(now, end)));
    }
  }

  asio_request wait(const std::stop_token& stop) {
    if (!stop.stop_possible()) return wait();
    call its(*this, may_deliver);
    const int handle = dispatcher_.native_handle();
    event stopped;
    const std::stop_callback signal(stop, [&stopped]() noexcept { stopped.signal(); });
    for (unsigned turn = 1;; ++turn) {
      dispatcher_.poll(ledger_.entered());
      harvest();
      deliver(its);
      if (ledger_.has_collectable() || is_empty() || stop.stop_requested()) return collect();
      if (ledger_.has_deliverable()) continue;
      if (turn % turns_for_a_nap == 0)
        dispatcher_.await_until(ledger_.settled(), next_to_come_back(), std::chrono::steady_clock::now() + nap);
      else if (dispatcher_.watch(ledger_.entered(), ledger_.settled(), next_to_come_back()))
        wait_for_either(handle, stopped.descriptor());
    }
  }

  std::size_t poll() {
    call its(*this, may_deliver);
    dispatcher_.poll(ledger_.entered());
    harvest();
    return deliver(its);
  }

  /// The part of `poll` that a receiver may have done, too.
  void begin() {
    const call its(*this);
    dispatcher_.poll(ledger_.entered());
    harvest();
  }

  std::size_t run_one() {
    call its(*this, may_deliver);
    for (;;) {
      harvest();
      if (deliver(its, 1) != 0) return 1;
      if (!ledger_.has_undelivered()) return 0;
      await();
    }
  }

  void sync() {
    const call its(*this);
    finish_all();
    throw_if_write_back_failed();
  }

  void resume() {
    const single_user guard(in_use_);
    harvest();
    ledger_.acknowledge();
  }

  void cancel() {
    const call its(*this);
    harvest();
    for (request_record* one = ledger_.oldest_outstanding(); one != nullptr; one = one->next_later) one->cancel();
    dispatcher_.cancel(ledger_.oldest_outstanding());
  }

  int native_handle() {
    const call its(*this);
    const int handle = dispatcher_.native_handle();
    has_handle_ = true;
    return handle;
  }

  void shrink_to_fit() noexcept {
    const single_user guard(in_use_);
    harvest();
    pool_.free_idle();
  }

  /// Calls `each` for what each request asks for that may not have finished yet.
  template <class Each>
  void for_unfinished(Each each) noexcept {
    const single_user guard(in_use_);
    harvest();
    for (const request_record* one = ledger_.oldest_outstanding(); one != nullptr; one = one->next_later) each(*one);
  }

  [[nodiscard]] std::size_t allocated_requests() const noexcept { return pool_.size() - pool_.idle(); }
  [[nodiscard]] std::size_t idle_requests() const noexcept { return pool_.idle(); }

  [[nodiscard]] std::size_t running_requests() const noexcept {
    return static_cast<std::size_t>(ledger_.entered() - dispatcher_.finished());
  }

  [[nodiscard]] std::size_t running_writebacks() const noexcept {
    return ledger_.running_write_backs(dispatcher_.finished());
  }

  [[nodiscard]] std::uint64_t completed_through() const noexcept { return dispatcher_.finished(); }
  [[nodiscard]] const queue_options& options() const noexcept { return options_; }
  [[nodiscard]] const Allocator& allocator() const noexcept { return pool_.allocator(); }

 private:
  /// What other queues on an `io_executor` have to collect keeps its descriptor readable, so no call can sleep on that.
  /// A wait with a token therefore sleeps elsewhere now and then, where the token does not wake it.
  static constexpr std::chrono::milliseconds nap{1};
  static constexpr unsigned turns_for_a_nap = 4;

  enum delivery : bool { delivers_nothing, may_deliver };

  /// One call of the owner, from its begin to its end.
  class call {
   public:
    explicit call(queue_core& core, delivery its = delivers_nothing) : guard_(check(core, its)), core_(core) {}
    call(const call&) = delete;
    call& operator=(const call&) = delete;
    ~call() {
      if (core_.has_handle_) [[unlikely]]
        core_.say_readiness();
    }

    void pause() noexcept { guard_.pause(); }
    void resume() noexcept { guard_.resume(); }

   private:
    static single_user_flag& check(queue_core& core, delivery its) {
      if (its == may_deliver && core.is_delivering_)
        refuse(std::errc::resource_deadlock_would_occur, "asioq: a receiver must not call what delivers");
      return core.in_use_;
    }

    single_user guard_;
    queue_core& core_;
  };

  static queue_options checked(queue_options options) {
    if (options.buffer_size == 0) refuse("asioq: buffer_size is 0");
    if (options.max_writebacks == 0) refuse("asioq: max_writebacks is 0");
    if (options.max_in_flight == 0) refuse("asioq: max_in_flight is 0");
    return options;
  }

  template <class MakeDispatcher>
  dispatcher& made_by(MakeDispatcher& make_dispatcher) {
    try {
      return make_dispatcher(options_);
    } catch (...) {
      pool_.close();
      throw;
    }
  }

  /// Takes in what has finished, without blocking. Inlined, since most of the time there is little.
  [[gnu::always_inline]] void harvest() noexcept {
    ledger_.settle(dispatcher_.finished(), [this](request_record& record) { pool_.put(record); });
  }

  /// Gives receivers what had been taken in when it was called, or the first `most` requests of it. Returns how many
  /// these were. It leaves what finishes meanwhile, so that a chain of requests does not keep the caller forever.
  std::size_t deliver(call& its, std::size_t most = std::numeric_limits<std::size_t>::max()) noexcept {
    if (!ledger_.has_deliverable()) return 0;
    const std::uint64_t end = ledger_.settled();
    std::size_t count = 0;
    is_delivering_ = true;
    its.pause();
    while (count != most) {
      request_record* const record = ledger_.take_deliverable(end);
      if (record == nullptr) break;
      ++count;
      asio_request request(*record);
      if (record->receiver != nullptr)
        record->receiver->finished(std::move(request));
      else if (ledger::is_loss(*record))
        report_loss(request, false);
    }
    its.resume();
    is_delivering_ = false;
    return count;
  }

  asio_request collect() noexcept {
    request_record* const record = ledger_.collect();
    return record == nullptr ? asio_request() : asio_request(*record);
  }

  /// Nothing is left to wait for.
  [[nodiscard]] bool is_empty() const noexcept { return !ledger_.has_outstanding() && !ledger_.has_deliverable(); }

  /// How many requests have to finish before one comes back. If none has to, all.
  [[nodiscard]] std::uint64_t next_to_come_back() const noexcept {
    return ledger_.next_to_come_back(ledger_.entered());
  }

  /// Blocks until there is something to harvest that comes back, unless there is something to deliver.
  void await() noexcept {
    if (!ledger_.has_deliverable()) dispatcher_.await(ledger_.settled(), next_to_come_back());
  }

  /// Has `native_handle()` say whether a call would find something.
  [[gnu::noinline]] void say_readiness() noexcept {
    if (is_delivering_) return;  // the call that delivers says it in the end
    do {
      harvest();
      if (ledger_.has_collectable() || ledger_.has_deliverable()) {
        dispatcher_.set_readable();
        return;
      }
    } while (!dispatcher_.watch(ledger_.entered(), ledger_.settled(), ledger_.next_to_come_back(wake::never)));
  }

  /// Returns when one more write-back may be submitted.
  void make_room(bool has_to_report) {
    for (;;) {
      harvest();
      if (has_to_report) throw_if_write_back_failed();
      if (ledger_.outstanding_write_backs() < options_.max_writebacks) return;
      dispatcher_.await(ledger_.settled(), ledger_.oldest_write_back());
    }
  }

  void throw_if_write_back_failed() {
    if (ledger_.failed_write_backs() != 0) [[unlikely]]
      throw_write_back_error();
  }

  [[noreturn, gnu::cold, gnu::noinline]] void throw_write_back_error() {
    const request_record& oldest = ledger_.oldest_failed_write_back();
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
    print_loss(request);
    if (must_terminate) std::terminate();
  }

  static void print_loss(const asio_request& request) noexcept {
    const char* const name = traits_of(request.op()).name;
    try {
      std::string what = name;
      if (request.length() != 0) what += " of " + name_of_place(request.length(), request.offset());
      std::fprintf(stderr, "asioq: a failure was not reported: %s of descriptor %d: %s\n", what.c_str(), request.fd(),
                   request.error().message().c_str());
    } catch (...) {  // there is no memory for the long message
      std::fprintf(stderr, "asioq: a failure was not reported: %s of descriptor %d: errno %d\n", name, request.fd(),
                   request.error().value());
    }
  }

  [[noreturn]] static void fail(const char* why) noexcept {
    std::fprintf(stderr, "%s\n", why);
    std::terminate();
  }

  // For the owner only. What it shares with other threads is in dispatcher_ and pool_.
  queue_options options_;
  pool_type& pool_;             // all requests
  dispatcher& dispatcher_;      // carries out those submitted
  ledger ledger_;               // keeps their books from submission until they are collected or delivered
  int exceptions_before_;       // constant: exceptions that were unwinding when the queue was made
  bool is_closing_ = false;     // inside the destructor
  bool is_delivering_ = false;  // a receiver has the thread
  bool has_handle_ = false;     // the program may sleep on the descriptor
  single_user_flag in_use_;
};

}  // namespace asioq::detail
