#pragma once

#include <asioq/detail/batch.hpp>
#include <asioq/detail/concurrent_order.hpp>
#include <asioq/detail/sync.hpp>
#include <asioq/detail/task_engine.hpp>
#include <asioq/options.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace asioq::detail {

/// Runs requests of one queue at the same time where `concurrent_order` allows it, on an executor that runs tasks.
///
/// The order is in `order_`, under `mutex_`. Nobody holds that while a request is carried out or a thread is woken, but
/// while the kernel is asked which file a descriptor is (see file_table, fsync_latch). A task is a worker: it takes the
/// oldest request that may start, carries it out, and goes on until there is none. There are as many tasks, begun or
/// with the executor, as requests that could be carried out by them, so one task serves many requests, and a submission
/// hands over a new one only if all others are busy.
///
/// - Results are written before `complete` under the mutex; `finished_` is stored under the mutex, after that, and the
///   owner reads it with acquire: it sees the results of all requests that the count covers.
/// - The owner sleeps on `wake_` after it has set `waiting_` under the mutex, having seen there that what it waits for
///   has not come. Who clears `waiting_`, under the mutex, gives the token or does without it: none is lost or left
///   over.
/// - An owner that blocks does not depend on the executor: nothing finishes before the oldest unfinished request, and
///   if that has not begun, the owner carries it out (next_to_finish). If it has, its worker wakes the owner when it
///   has finished, or leaves with requests undone only after looking for a sleeping owner.
///
/// The executor is used only by the owner, and by a worker that has an unfinished request in its hands, for which the
/// queue's destructor waits.
class concurrent_engine final : public task_engine {
 public:
  concurrent_engine(executor_reference executor, std::size_t max_writebacks, std::size_t max_in_flight,
                    failure_policy on_failure)
      : task_engine(executor, max_writebacks), order_(max_in_flight, on_failure) {}

  void submit(request_block& block) override {
    std::unique_lock lock(mutex_);
    order_.add(block);
    if (!needs_task()) return;
    note_owner();
    try {
      add_task(lock);
    } catch (...) {
      // Too late if another worker has begun it: then it is submitted, and the task was not needed.
      if (order_.withdraw(block)) throw;
    }
  }

  void poll(std::uint64_t submitted) override {
    if (finished() == submitted) return;
    std::unique_lock lock(mutex_);
    note_owner();
    while (needs_task()) add_task(lock);
  }

  void await(std::uint64_t seen, std::uint64_t target) noexcept override {
    if (help() || spin_.until([&] { return finished() >= target; })) return;
    std::unique_lock lock(mutex_);
    if (finished() != seen || order_.has_next_to_finish()) return;
    wait_for_wake(target);
    lock.unlock();
    wake_.acquire();
  }

  void await_until(std::uint64_t seen, std::uint64_t target, std::chrono::steady_clock::time_point deadline) override {
    if (spin_.until([&] { return finished() >= target; })) return;
    std::unique_lock lock(mutex_);
    if (finished() != seen) return;
    wait_for_wake(target);
    lock.unlock();
    if (wake_.try_acquire_until(deadline)) return;
    lock.lock();
    if (std::exchange(waiting_, false)) return;
    lock.unlock();
    wake_.acquire();  // somebody has ended the wait: the token is here, or about to come
  }

  void await_room(std::uint64_t target) noexcept override {
    for (std::uint64_t seen = finished(); seen < target; seen = finished()) await(seen, target);
    room_.take();
  }

 private:
  using lock_type = std::unique_lock<mutex>;

  void run() noexcept override {
    lock_type lock(mutex_);
    if (!waiting_ && order_.has_one_unfinished()) {
      lock.unlock();
      leave_it_to_the_owner();
      lock.lock();
    }
    --pending_;
    request_block* block = order_.next();
    for (std::size_t carried_out = 0; block != nullptr;) {
      settle(lock);
      // With a request in hand, the executor can be used. What else may start needs other workers; in the last turn,
      // so does what comes after it.
      const bool is_last = carried_out + 1 >= requests_per_turn;
      const bool replaced = add_tasks(lock, is_last ? 1 : 0) && is_last;
      carried_out += carry_out(*block, lock);
      // The other may have come too early and gone again: what has become ready meanwhile is then for this one.
      if (replaced && !needs_task()) break;
      if (is_last) carried_out = 0;
      block = order_.next();
    }
    settle(lock);
    // The owner must not depend on when the executor gets round to the other tasks.
    if (order_.has_next_to_finish() && std::exchange(waiting_, false)) {
      lock.unlock();
      wake_.release();
    }
  }

  /// Owner: carries out the request that has to finish first, if nobody has begun. Returns whether anything has
  /// finished.
  bool help() noexcept {
    lock_type lock(mutex_);
    const std::uint64_t before = finished();
    if (request_block* const block = order_.next_to_finish()) carry_out(*block, lock);
    settle(lock);
    note_owner();
    add_tasks(lock, 0);
    return finished() != before;
  }

  /// Carries out the request, and those that continue it and may start. Returns how many that were.
  std::size_t carry_out(request_block& block, lock_type& lock) noexcept {
    batch requests(block, unmerged_);
    while (request_block* const more =
               order_.next_if([&](const request_block& other) { return requests.can_take(other); }))
      requests.take(*more);
    lock.unlock();
    requests.perform();
    lock.lock();
    for (request_block* const one : requests.requests()) order_.complete(*one);
    return requests.requests().size();
  }

  [[nodiscard]] bool needs_task() const noexcept { return order_.startable() > pending_; }

  /// Throws what the executor throws. Unlocks for a while.
  void add_task(lock_type& lock) {
    ++pending_;
    lock.unlock();
    try {
      hand_over();
    } catch (...) {
      lock.lock();
      --pending_;
      throw;
    }
    lock.lock();
  }

  /// As many tasks as are needed, and `more`. Returns false if the executor refuses: what is left is done by those who
  /// are at it, or by the owner.
  bool add_tasks(lock_type& lock, std::size_t more) noexcept {
    try {
      while (needs_task() || more > 0) {
        if (!needs_task()) --more;
        add_task(lock);
      }
      return true;
    } catch (...) {
      return false;
    }
  }

  void wait_for_wake(std::uint64_t target) noexcept {
    waiting_ = true;
    wake_at_ = target;
  }

  /// Lets the owner know of what has finished. Unlocks for a while.
  void settle(lock_type& lock) noexcept {
    const std::uint64_t now = order_.finished();
    if (now == finished_.load(std::memory_order_relaxed)) return;
    const bool failed = order_.failed() != failed_;
    const std::uint64_t permits = order_.written_back() - written_back_;
    failed_ = order_.failed();
    written_back_ = order_.written_back();
    const bool wakes = waiting_ && (failed || now >= wake_at_);
    if (wakes) waiting_ = false;
    // Release: pairs with finished(). Now the requests are the owner's.
    finished_.store(now, std::memory_order_release);
    if (permits == 0 && !wakes) return;
    lock.unlock();
    if (permits > 0) room_.give(permits);
    if (wakes) wake_.release();
    lock.lock();
  }

  mutex mutex_;  // for all below
  concurrent_order order_;
  std::size_t pending_ = 0;         // tasks handed over, or about to be, and not begun
  std::uint64_t failed_ = 0;        // as of the last settle()
  std::uint64_t written_back_ = 0;  // as of the last settle()
  int unmerged_ = -1;               // see batch
  std::uint64_t wake_at_ = 0;       // if waiting_: when finished_ has reached this
  bool waiting_ = false;            // the owner sleeps on wake_, or is about to
};

}  // namespace asioq::detail
