#pragma once

#include <asioq/detail/fsync_latch.hpp>
#include <asioq/detail/hazards.hpp>
#include <asioq/detail/ready_queue.hpp>
#include <asioq/detail/request_block.hpp>
#include <asioq/options.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace asioq::detail {

/// Decides which requests of a queue may run at the same time so that everything is as if they had run one by one, and
/// in which order they count as finished: that of their submission.
///
/// A request is blocked (by a hazard), ready, in flight or done. `next()` is the one place that decides what may start.
/// Under `failure_policy::hold`, what is younger than a failed request does not start; what is older still does, as it
/// would have run before it. The first request after `resume()` and all behind it wait until everything before has
/// finished: so hold and fsync errors end at the same point as in a serial run. Not thread-safe.
class concurrent_order {
  using state = ordering_part::state;

 public:
  concurrent_order(std::size_t max_in_flight, failure_policy on_failure) noexcept
      : max_in_flight_(max_in_flight), on_failure_(on_failure) {}

  /// Adds a request, the youngest. May throw `std::bad_alloc`; then it has not been added.
  void add(request_block& block) {
    if (!after_resume_.empty() || (block.ends_hold && !unfinished_.empty())) {
      hazards_.reserve(after_resume_count_ + 1);
      ++after_resume_count_;
      block.order.progress = state::after_resume;
      after_resume_.push_back(block);
    } else {
      admit(block);
    }
    unfinished_.push_back(block);
  }

  /// Takes back the youngest request; returns false, and does not, if that is too late.
  bool withdraw(request_block& block) noexcept {
    switch (block.order.progress) {
      case state::after_resume:
        after_resume_.remove(block);
        --after_resume_count_;
        break;
      case state::blocked:
        block.order.waits_in->remove(block);
        hazards_.forget(block);
        break;
      case state::ready:
        if (!ready_.withdraw(block)) return false;
        hazards_.forget(block);
        break;
      default:
        return false;
    }
    block.order.progress = state::outside;
    unfinished_.pop_back(block);
    return true;
  }

  /// The oldest request that may start, in flight from here on; null if none may start now. Choosing the oldest keeps
  /// the queue alive: whatever finishes frees a place, so one that the owner waits for never waits for younger ones.
  request_block* next() noexcept {
    while (in_flight_ < max_in_flight_ && ready_.size() > 0) {
      request_block& block = ready_.pop();
      if (start(block)) return &block;
    }
    return nullptr;
  }

  /// The same, if it is one that is `wanted`: null if not.
  template <class Wanted>
  request_block* next_if(Wanted wanted) noexcept {
    if (on_failure_ == failure_policy::hold || in_flight_ == max_in_flight_ || ready_.size() == 0) return nullptr;
    request_block& block = ready_.front();
    if (!wanted(block)) return nullptr;
    ready_.pop();
    return start(block) ? &block : nullptr;
  }

  /// The oldest unfinished request, if it may start now and has not; in flight from here on. Nothing finishes before
  /// it.
  request_block* next_to_finish() noexcept {
    while (in_flight_ < max_in_flight_ && has_next_to_finish()) {
      request_block& block = ready_.pop();  // the same
      if (start(block)) return &block;
    }
    return nullptr;
  }

  /// The request, in flight, could not be begun after all: it is ready again. If it is the youngest, it can be
  /// withdrawn.
  void put_back(request_block& block, bool is_youngest) noexcept {
    --in_flight_;
    block.order.progress = state::ready;
    if (is_youngest)
      ready_.push_youngest(block);
    else
      ready_.push(block);
  }

  [[nodiscard]] bool has_next_to_finish() const noexcept {
    return !unfinished_.empty() && unfinished_.front()->order.progress == state::ready;
  }

  /// The request has been carried out; its results are set.
  void complete(request_block& block) noexcept {
    --in_flight_;
    if (block.is_sync() && block.error != 0) latch_.set(block);
    end(block);
  }

  /// The request, in flight, could not be carried out to its end, for a reason that is not its file's.
  void refuse(request_block& block, int error) noexcept {
    --in_flight_;
    block.error = error;
    end(block);
  }

  /// How many requests have finished: all that are older than the oldest which has not.
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_; }
  /// How many of these have failed.
  [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }
  /// How many of these were write-backs.
  [[nodiscard]] std::uint64_t written_back() const noexcept { return written_back_; }
  [[nodiscard]] bool has_one_unfinished() const noexcept { return unfinished_.has_one(); }
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }
  /// How many requests `next()` could return now.
  [[nodiscard]] std::size_t startable() const noexcept { return std::min(ready_.size(), max_in_flight_ - in_flight_); }

 private:
  static constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();

  void admit(request_block& block) {
    const bool may_run = hazards_.add(block);
    block.order.progress = may_run ? state::ready : state::blocked;
    if (may_run) ready_.push_youngest(block);
    if (block.ends_hold) {
      oldest_failure_ = none;
      latch_.clear();
    }
  }

  /// Starts a request that was ready. Returns whether it has to be carried out; otherwise it has ended at once.
  bool start(request_block& block) noexcept {
    if (block.sequence > oldest_failure_) block.error = ECANCELED;
    if (block.error != 0 || (block.is_sync() && latch_.applies(block))) {
      end(block);
      return false;
    }
    block.order.progress = state::in_flight;
    ++in_flight_;
    return true;
  }

  void end(request_block& block) noexcept {
    block.order.progress = state::done;
    if (block.error != 0 && on_failure_ == failure_policy::hold)
      oldest_failure_ = std::min(oldest_failure_, block.sequence);
    hazards_.remove(block, [this](request_block& other) {
      other.order.progress = state::ready;
      ready_.push(other);
    });
    while (!unfinished_.empty() && unfinished_.front()->order.progress == state::done) {
      request_block& oldest = unfinished_.pop_front();
      oldest.order.progress = state::outside;
      ++finished_;
      if (oldest.error != 0) ++failed_;
      if (oldest.op == asio_op::write_back) ++written_back_;
    }
    while (!after_resume_.empty()) {
      request_block& first = *after_resume_.front();
      if (first.ends_hold && unfinished_.front() != &first) break;
      after_resume_.remove(first);
      --after_resume_count_;
      admit(first);  // memory was reserved
    }
  }

  std::size_t max_in_flight_;  // constant
  failure_policy on_failure_;  // constant
  hazards hazards_;            // requests that are blocked, ready or in flight
  fsync_latch latch_;
  block_fifo<&request_block::next> unfinished_;  // all, oldest first
  ready_queue ready_;
  waiting_list after_resume_;  // the first after resume() and all behind it
  std::size_t after_resume_count_ = 0;
  std::size_t in_flight_ = 0;
  std::uint64_t oldest_failure_ = none;  // failure_policy::hold: what is younger must not start
  std::uint64_t finished_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t written_back_ = 0;
};

}  // namespace asioq::detail
