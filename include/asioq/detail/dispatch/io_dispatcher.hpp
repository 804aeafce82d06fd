#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/dispatch/dispatcher.hpp>
#include <asioq/detail/order/failure_log.hpp>
#include <asioq/detail/order/file_probe.hpp>
#include <asioq/detail/order/schedule.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/transfer/transfer.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/options.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

namespace asioq::detail {

/// Has an `io_executor` carry out the requests of one queue. Everything happens on the thread of the queue's owner,
/// inside its calls, so nothing is shared and nothing is locked. In strict order, one request is in flight at a time.
template <io_executor Executor>
class io_dispatcher final : public dispatcher {
 public:
  io_dispatcher(const Executor& executor, std::size_t max_in_flight, failure_policy on_failure)
      : executor_(executor), order_(max_in_flight, on_failure), probe_(executor) {}

  void submit(request_record& record) override {
    order_.add(record);
    try {
      start_requests();
    } catch (...) {
      publish();
      if (order_.withdraw(record)) throw;
      return;
    }
    publish();
  }

  void poll(std::uint64_t submitted) override {
    // A descriptor that queues share may be readable because of another queue's operation, which this takes in.
    if (finished() == submitted && !keeps_readable<Executor>) return;
    unwatch();
    try {
      start_requests();
      executor_.poll();
    } catch (...) {
      publish();
      throw;
    }
    publish();
  }

  void await(std::uint64_t seen, std::uint64_t /*target*/) noexcept override {
    wait(seen, std::chrono::steady_clock::time_point::max());
  }

  void await_until(std::uint64_t seen, std::uint64_t /*target*/,
                   std::chrono::steady_clock::time_point deadline) override {
    wait(seen, deadline);
  }

  void cancel(request_record* oldest) noexcept override {
    order_.end_cancelled();
    if constexpr (cancels<Executor>) {
      for (request_record* record = oldest; record != nullptr; record = record->next_later) {
        if (!schedule::is_in_flight(*record)) continue;
        record->is_cut_short = true;
        executor_.cancel(*record);
      }
    }
    publish();
  }

  int native_handle() override {
    if constexpr (has_native_handle<Executor>)
      return executor_.native_handle();
    else
      refuse(std::errc::operation_not_supported, "asioq: the executor has no descriptor for event loops");
  }

  void set_readable() noexcept override {
    is_watching_ = false;
    if (is_kept_readable_) return;
    is_kept_readable_ = true;
    if constexpr (keeps_readable<Executor>) executor_.keep_readable(true);
  }

  bool watch(std::uint64_t submitted, std::uint64_t seen, std::uint64_t /*target*/) noexcept override {
    unwatch();
    is_watching_ = true;
    try {
      if (finished() != submitted) start_requests();
      if constexpr (has_native_handle<Executor>) static_cast<void>(executor_.native_handle());
    } catch (...) {
      // The executor refuses what the owner had left to it, and the owner has to try again.
      set_readable();
    }
    publish();
    return finished() == seen;
  }

  void leave() noexcept override {
    unwatch();
    delete this;
  }

 private:
  void unwatch() noexcept {
    is_watching_ = false;
    if (!std::exchange(is_kept_readable_, false)) return;
    if constexpr (keeps_readable<Executor>) executor_.keep_readable(false);
  }

  /// Starts what may start. Throws what the executor throws; what has not been started is then still ready.
  void start_requests() {
    for (;;) {
      while (order_.has_question()) {
        const schedule::question asked = order_.ask();
        order_.learn(asked, probe_.facts(asked.fd));
      }
      if (request_record* const record = order_.next())
        start(*record);
      else if (!order_.has_question())  // what has ended without being started may have left one
        return;
    }
  }

  void start(request_record& record) {
    if (order_.failures().needs_file(record)) {
      if (const int error = order_.failures().admits(record, probe_.identity(record.fd)); error != 0) {
        order_.cancel(record, error);
        return;
      }
    }
    try {
      record.from = 0;
      record.is_cut_short = false;
      start_step(record);
    } catch (...) {
      order_.put_back(record);
      throw;
    }
  }

  void start_step(request_record& record) {
    const bool transfers = record.traits().transfers;
    record.on_complete(step_completed, this);
    record.describe(record.op == asio_op::write_back ? asio_op::write : record.op, record.fd,
                    transfers ? record.data + record.from : nullptr, record.length - record.from,
                    offset_from(record, record.from));
    executor_.start(record);
  }

  static void step_completed(void* context, io_operation& step, std::int64_t outcome) noexcept {
    static_cast<io_dispatcher*>(context)->on_step(static_cast<request_record&>(step), outcome);
  }

  void on_step(request_record& record, std::int64_t outcome) noexcept {
    // A call of another queue completes the step, and the owner of this one sleeps on the descriptor next. It has to
    // look again, even if nothing has come back: the executor may keep what follows until this queue polls.
    if (is_watching_) set_readable();
    if (record.is_cut_short && outcome == -EINTR) outcome = -ECANCELED;
    const bool has_more = advance(record, record.from, outcome, !describes_files<Executor>);
    if (record.is_cut_short && record.error == ECANCELED && record.transferred == 0) {
      order_.cancel(record, ECANCELED);  // it has had no effect
    } else if (has_more && record.is_cut_short) {
      order_.refuse(record, ECANCELED);
    } else if (has_more) {
      try {
        start_step(record);
        return;
      } catch (...) {
        order_.refuse(record, error_of_exception());
      }
    } else {
      const bool needs_file = record.error != 0 && failure_log::needs_file_of_failed(record);
      order_.complete(record, needs_file ? probe_.identity(record.fd) : file_identity{});
    }
    // At once, so that the executor can begin it together with others.
    try {
      start_requests();
    } catch (...) {  // NOLINT(bugprone-empty-catch): the owner's next call offers again what the executor refuses now
    }
    publish();
  }

  /// Blocks until something has been completed. If the executor refuses a request while nothing is in flight, the
  /// request fails, since waiting would not help.
  void wait(std::uint64_t seen, std::chrono::steady_clock::time_point deadline) noexcept {
    int refusal = 0;
    unwatch();
    try {
      start_requests();
    } catch (...) {
      refusal = error_of_exception();
    }
    publish();
    if (finished() != seen) return;
    try {
      if (order_.in_flight() > 0) executor_.wait_until(deadline);
    } catch (...) {
      refusal = error_of_exception();
    }
    if (order_.in_flight() == 0 && refusal != 0) {
      if (request_record* const record = order_.next()) order_.refuse(*record, refusal);
    }
    publish();
  }

  static int error_of_exception() noexcept {
    try {
      throw;
    } catch (const std::system_error& error) {
      return error.code().value() != 0 ? error.code().value() : EIO;
    } catch (...) {
      return ENOMEM;
    }
  }

  void publish() noexcept {
    // Relaxed: the only reader is this thread.
    finished_.store(order_.finished(), std::memory_order_relaxed);
  }

  const Executor& executor_;  // the queue's
  schedule order_;
  file_probe probe_;
  bool is_watching_ = false;       // the owner has found nothing, and may sleep on the descriptor
  bool is_kept_readable_ = false;  // the executor has been asked for it
};

}  // namespace asioq::detail
