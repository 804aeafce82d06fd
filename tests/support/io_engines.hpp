// Executors that carry out file operations themselves, for tests.
#pragma once

#include <asioq/io_executor.hpp>
#include <asioq/operation.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/testing/faults.hpp>
#include <asioq/uring.hpp>
#endif

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <random>
#include <vector>

#include "any_io_executor.hpp"
#include "files.hpp"

namespace asioq_test {

/// A disk that completes in any order, transfers less than it is asked to, and is interrupted now and then.
class simulated_disk : public io_engine_base {
 public:
  explicit simulated_disk(std::uint64_t seed) : random_(seed) {}

  void start(asioq::io_operation& operation) override {
    waiting_.push_back(&operation);
    most_ = std::max(most_, waiting_.size());
    show();
  }
  void poll() override { wait_until({}); }
  void wait_until(std::chrono::steady_clock::time_point) override {
    if (waiting_.empty()) return;
    std::swap(waiting_[random_() % waiting_.size()], waiting_.back());
    asioq::io_operation& operation = *waiting_.back();
    waiting_.pop_back();
    // (A close that is interrupted has closed.)
    const bool interrupts = random_() % 8 == 0 && operation.op() != asioq::asio_op::close;
    operation.complete(interrupts ? -EINTR : carry_out(operation));
    show();
  }
  int native_handle() override {
    if (event_.get() < 0) event_ = descriptor{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    show();
    return event_.get();
  }
  void keep_readable(bool on) noexcept override {
    on ? ++keepers_ : --keepers_;
    show();
  }

  /// The most operations there ever were at the same time.
  [[nodiscard]] std::size_t most() const { return most_; }

 protected:
  /// Carries out the operation; of a transfer, the first `length` bytes.
  virtual std::int64_t transfer(const asioq::io_operation& operation, std::size_t length) {
    if (!asioq::traits_of(operation.op()).transfers) return asioq::perform(operation);
    return asioq::perform(operation.op(), operation.fd(), operation.buffer().data(), length, operation.offset());
  }

 private:
  std::int64_t carry_out(const asioq::io_operation& operation) {
    const bool at_position = operation.offset() == asioq::current_position;
    std::size_t length = operation.buffer().size();
    const bool direct = (::fcntl(operation.fd(), F_GETFL) & O_DIRECT) != 0;  // must stay aligned
    if (!at_position && !direct && length > 1 && random_() % 4 == 0) length = 1 + random_() % (length - 1);
    return transfer(operation, length);
  }

  /// Makes the descriptor readable while there is something to complete, or while it is asked to be.
  void show() noexcept {
    const bool has_to_be = !waiting_.empty() || keepers_ > 0;
    if (event_.get() < 0 || has_to_be == is_readable_) return;
    is_readable_ = has_to_be;
    ::eventfd_t value = 1;
    static_cast<void>(has_to_be ? ::eventfd_write(event_.get(), value) : ::eventfd_read(event_.get(), &value));
  }

  std::mt19937_64 random_;
  std::vector<asioq::io_operation*> waiting_;
  std::size_t most_ = 0;
  descriptor event_;  // none before the first native_handle()
  bool is_readable_ = false;
  int keepers_ = 0;  // see keep_readable()
};

#ifdef ASIOQ_TEST_URING
/// io_uring; small, so that its rings are full at times.
class uring_engine : public io_engine_base {
 public:
  void start(asioq::io_operation& operation) override { context_.executor().start(operation); }
  void poll() override { context_.executor().poll(); }
  void wait_until(std::chrono::steady_clock::time_point deadline) override { context_.executor().wait_until(deadline); }
  void cancel(asioq::io_operation& operation) noexcept override { context_.executor().cancel(operation); }
  int native_handle() override { return context_.executor().native_handle(); }
  void keep_readable(bool on) noexcept override { context_.executor().keep_readable(on); }

 private:
  asioq::uring_context context_{4};
};

/// The same, with transfers that are cut short, at multiples that O_DIRECT allows, and interruptions.
class flawed_uring_engine : public io_engine_base {
 public:
  explicit flawed_uring_engine(std::uint64_t seed)
      : flawed_(context_.executor(), {.seed = seed, .short_transfers = 0.25, .unit = 4096}) {}
  void start(asioq::io_operation& operation) override { flawed_.executor().start(operation); }
  void poll() override { flawed_.executor().poll(); }
  void wait_until(std::chrono::steady_clock::time_point deadline) override { flawed_.executor().wait_until(deadline); }
  void cancel(asioq::io_operation& operation) noexcept override { flawed_.executor().cancel(operation); }
  int native_handle() override { return flawed_.executor().native_handle(); }
  void keep_readable(bool on) noexcept override { flawed_.executor().keep_readable(on); }

 private:
  asioq::uring_context context_{4};
  asioq::testing::faults<asioq::uring_context::executor_type> flawed_;
};
#endif

}  // namespace asioq_test
