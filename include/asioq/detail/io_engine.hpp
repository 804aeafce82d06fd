#pragma once

#include <asioq/detail/concurrent_order.hpp>
#include <asioq/detail/engine.hpp>
#include <asioq/detail/file_probe.hpp>
#include <asioq/detail/transfer.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/options.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <system_error>

namespace asioq::detail {

/// Has the requests of one queue carried out by an executor that does so itself. Everything happens on the thread of
/// the queue's owner, inside its calls: nothing is shared, nothing is locked. In strict order, one request is in flight
/// at a time.
template <io_executor Executor>
class io_engine final : public engine {
 public:
  io_engine(const Executor& executor, std::size_t max_in_flight, failure_policy on_failure)
      : executor_(executor), order_(max_in_flight, on_failure), probe_(executor) {}

  void submit(request_block& block) override {
    order_.add(block);
    submitting_ = &block;
    try {
      start_requests();
    } catch (...) {
      submitting_ = nullptr;
      publish();
      if (order_.withdraw(block)) throw;
      return;
    }
    submitting_ = nullptr;
    publish();
  }

  void poll(std::uint64_t submitted) override {
    if (finished() == submitted) return;
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

  void leave() noexcept override { delete this; }

 private:
  /// Starts what may start. Throws what the executor throws; then the rest is ready still.
  void start_requests() {
    while (order_.has_question()) {
      const concurrent_order::question asked = order_.ask();
      order_.learn(asked, probe_.facts(asked.fd));
    }
    while (request_block* const block = order_.next()) {
      if (order_.failures().needs_file(*block)) {
        if (const int error = order_.failures().admits(*block, probe_.identity(block->fd)); error != 0) {
          order_.cancel(*block, error);
          continue;
        }
      }
      try {
        block->from = 0;
        start_step(*block);
      } catch (...) {
        order_.put_back(*block, block == submitting_);
        throw;
      }
    }
  }

  void start_step(request_block& block) {
    const bool transfers = block.traits().transfers;
    block.on_complete(step_completed, this);
    block.describe(block.op == asio_op::write_back ? asio_op::write : block.op, block.fd,
                   transfers ? block.data + block.from : nullptr, block.length - block.from,
                   block.at_position() ? block.offset : block.offset + block.from);
    executor_.start(block);
  }

  static void step_completed(void* context, io_operation& step, std::int64_t outcome) noexcept {
    static_cast<io_engine*>(context)->on_step(static_cast<request_block&>(step), outcome);
  }

  void on_step(request_block& block, std::int64_t outcome) noexcept {
    if (advance(block, block.from, outcome)) {
      try {
        start_step(block);
        return;
      } catch (...) {
        order_.refuse(block, error_of_exception());
      }
    } else {
      const bool needs_file = block.error != 0 && failure_log::needs_file_of_failed(block);
      order_.complete(block, needs_file ? probe_.identity(block.fd) : file_identity{});
    }
    // At once, so that the executor can begin it together with others.
    try {
      start_requests();
    } catch (...) {  // NOLINT(bugprone-empty-catch): what it refuses now it is offered again by the owner's next call
    }
  }

  /// Blocks until something has been completed. A request that nothing in flight could make room for, and that the
  /// executor refuses to begin, fails: waiting would not help.
  void wait(std::uint64_t seen, std::chrono::steady_clock::time_point deadline) noexcept {
    int refusal = 0;
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
      if (request_block* const block = order_.next()) order_.refuse(*block, refusal);
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
  concurrent_order order_;
  file_probe probe_;
  request_block* submitting_ = nullptr;  // the request that submit() is about to take
};

}  // namespace asioq::detail
