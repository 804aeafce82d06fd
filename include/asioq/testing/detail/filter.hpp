#pragma once

#include <asioq/file_facts.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/io_operation.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace asioq::testing::detail {

/// What executors around an executor have in common: each operation goes to the inner executor as a step of the
/// filter's own, so that the filter learns of its end.
///
/// `Filter` derives from this, and hides what it does otherwise:
/// - `arrived(step)`: an operation has been started. It calls `pass`, calls `answer`, or keeps the step. If it throws,
///   the operation has not been taken.
/// - `ended(step, outcome)`: an operation has ended, by the inner executor or by an answer.
/// - `release()`: what has been kept and is due now is passed. May throw what `pass` throws.
/// - `next_release()`: when to call that again, at the latest; `time_point::max()` if nothing is kept.
/// - `withdraw(step)`: forgets it if it has been kept, since it is cancelled. Returns whether it had.
template <io_executor Inner, class Filter>
class filter {
 public:
  /// See `io_executor`.
  using time_point = std::chrono::steady_clock::time_point;

  /// The handle that a queue takes. Of the optional functions it has those that the inner executor has, and `cancel`.
  class executor_type {
   public:
    /// Throws `std::bad_alloc`, and as the inner executor does.
    void start(io_operation& operation) const { its_->start(operation); }
    void poll() const { its_->poll(); }
    void wait_until(time_point deadline) const { its_->wait_until(deadline); }
    [[nodiscard]] file_facts describe(int fd) const noexcept
      requires asioq::detail::describes_files<Inner>
    {
      return its_->inner_.describe(fd);
    }
    /// Ends what the inner executor does not have yet, and asks that to end the rest if it can.
    void cancel(io_operation& operation) const noexcept { its_->cancel(static_cast<step&>(*operation.next)); }
    [[nodiscard]] int native_handle() const
      requires(asioq::detail::has_native_handle<Inner> && asioq::detail::keeps_readable<Inner>)
    {
      its_->self().release();
      return its_->inner_.native_handle();
    }
    void keep_readable(bool on) const noexcept
      requires asioq::detail::keeps_readable<Inner>
    {
      its_->inner_.keep_readable(on);
    }

    bool operator==(const executor_type&) const = default;

   private:
    friend class filter;
    explicit executor_type(filter& its) noexcept : its_(&its) {}
    filter* its_;
  };

  filter(const filter&) = delete;  // NOLINT(bugprone-crtp-constructor-accessibility): constructs nothing
  filter& operator=(const filter&) = delete;

  /// An executor that goes through this filter, which must outlive its queues.
  [[nodiscard]] executor_type executor() noexcept { return executor_type{*this}; }

 protected:
  /// An operation on its way.
  struct step : io_operation {
    using io_operation::on_complete;

    io_operation* outer = nullptr;
    std::int64_t outcome = 0;  // that it is answered with
    std::int64_t number = 0;   // for `Filter`
    std::int64_t time = 0;     // for `Filter`, in nanoseconds

    /// From here on it is the outer operation; if that is a transfer, of its first `length` bytes.
    void ask_for(std::uint64_t length) noexcept {
      describe(outer->op(), outer->fd(), outer->buffer().data(), length, outer->offset());
    }
  };

  /// All queues must be gone.
  ~filter() = default;

  /// Has the inner executor start it.
  void pass(step& its) {
    inner_.start(its);
    ++passed_;
  }
  /// Ends it with this outcome in the next call that may do that.
  void answer(step& its, std::int64_t outcome) noexcept {
    its.outcome = outcome;
    answered_.push_back(&its);
  }

  void ended(const step& /*its*/, std::int64_t /*outcome*/) noexcept {}
  void release() {}
  [[nodiscard]] time_point next_release() const noexcept { return time_point::max(); }
  [[nodiscard]] bool withdraw(const step& /*its*/) noexcept { return false; }

 private:
  friend Filter;

  explicit filter(Inner inner) : inner_(std::move(inner)) {}

  [[nodiscard]] Filter& self() noexcept { return static_cast<Filter&>(*this); }

  void start(io_operation& operation) {
    if (free_.empty()) {
      auto made = std::make_unique<step>();
      // So that nothing that must not throw allocates.
      for (auto* const list : {&free_, &answered_})
        if (list->capacity() <= steps_.size()) list->reserve(2 * steps_.size() + 8);
      steps_.push_back(std::move(made));
      free_.push_back(steps_.back().get());
    }
    step& its = *free_.back();
    its.outer = &operation;
    its.ask_for(operation.length());
    its.on_complete(
        [](void* home, io_operation& done, std::int64_t outcome) noexcept {
          --static_cast<filter*>(home)->passed_;
          static_cast<filter*>(home)->end(static_cast<step&>(done), outcome);
        },
        this);
    free_.pop_back();
    try {
      self().arrived(its);
    } catch (...) {
      free_.push_back(&its);
      throw;
    }
    operation.next = &its;
    update_readable();
  }

  void end(step& its, std::int64_t outcome) noexcept {
    self().ended(its, outcome);
    io_operation& operation = *its.outer;
    free_.push_back(&its);
    update_readable();
    operation.complete(outcome);
  }

  /// Returns whether there were any. Those that are answered meanwhile are left for the next call.
  bool end_answered() noexcept {
    const std::size_t count = answered_.size();
    for (std::size_t i = 0; i < count; ++i) {
      step& its = *answered_.front();
      answered_.erase(answered_.begin());
      end(its, its.outcome);
    }
    return count > 0;
  }

  void poll() {
    self().release();
    inner_.poll();
    end_answered();
    update_readable();
  }

  void wait_until(time_point deadline) {
    self().release();
    if (end_answered()) return;
    const time_point due = std::min(deadline, self().next_release());
    if (passed_ > 0)
      inner_.wait_until(due);
    else if (due != time_point::max())
      std::this_thread::sleep_until(due);
    self().release();
    update_readable();
  }

  void cancel(step& its) noexcept {
    if (self().withdraw(its)) {
      answer(its, -ECANCELED);
      update_readable();
    } else if (std::ranges::find(answered_, &its) == answered_.end()) {
      if constexpr (asioq::detail::cancels<Inner>) inner_.cancel(its);
    }
  }

  /// An event loop has to come here for what the inner executor does not have.
  void update_readable() noexcept {
    if constexpr (asioq::detail::keeps_readable<Inner>) {
      const bool has_to_be = !answered_.empty() || self().next_release() != time_point::max();
      if (has_to_be != std::exchange(is_readable_, has_to_be)) inner_.keep_readable(has_to_be);
    }
  }

  Inner inner_;
  std::vector<std::unique_ptr<step>> steps_;
  std::vector<step*> free_;
  std::vector<step*> answered_;
  std::size_t passed_ = 0;  // that the inner executor has
  bool is_readable_ = false;
};

}  // namespace asioq::testing::detail
