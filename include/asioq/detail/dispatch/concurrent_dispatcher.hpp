#pragma once

#include <asioq/detail/dispatch/executor_reference.hpp>
#include <asioq/detail/dispatch/task_dispatcher.hpp>
#include <asioq/detail/order/failure_log.hpp>
#include <asioq/detail/order/file_probe.hpp>
#include <asioq/detail/order/file_table.hpp>
#include <asioq/detail/order/schedule.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/sync.hpp>
#include <asioq/detail/transfer/batch.hpp>
#include <asioq/detail/transfer/merging.hpp>
#include <asioq/detail/transfer/transfer.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/options.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace asioq::detail {

/// Runs requests of one queue at the same time where `schedule` allows it, on an executor that runs tasks.
///
/// `mutex_` protects the order, `order_`. It is never held across I/O, a question to the kernel or a call of the
/// executor, and across no wake-up but that of the queue's destructor. A task is a worker. It answers what the order
/// has to know about a file, takes the oldest request that may start, carries it out, and goes on until there is none.
/// A submission hands over a new task only if it leaves more to do than the tasks on their way could take, so one task
/// serves many requests.
///
/// - A worker writes results before it calls `complete` under the mutex, and stores `finished_` under the mutex after
///   that. The owner reads `finished_` with acquire, so it sees the results of all requests that the count covers.
/// - The owner arms `wake_` under the mutex, after it has seen there that what it waits for has not come. A worker
///   publishes under the mutex and tells afterwards.
/// - An owner that blocks does not depend on the executor. Nothing finishes before the oldest unfinished request. If
///   that has not begun, the owner carries it out (next_to_finish). If it has, its worker tells the owner at its end. A
///   worker that leaves that request undone tells a sleeping owner.
/// - A worker has no request in hand while it calls the executor, as task_dispatcher says.
class concurrent_dispatcher final : public task_dispatcher {
 public:
  concurrent_dispatcher(executor_reference executor, std::size_t max_in_flight, failure_policy on_failure)
      : task_dispatcher(executor), order_(max_in_flight, on_failure) {}

  void submit(request_record& record) override {
    lock_type lock(mutex_);
    order_.add(record);
    if (!needs_task(0)) return;
    try {
      add_task(lock);
    } catch (...) {
      // If a worker has begun the request it stays submitted, and the task was not needed.
      if (order_.withdraw(record)) throw;
    }
  }

  void poll(std::uint64_t submitted) override {
    if (finished() == submitted) return;
    lock_type lock(mutex_);
    add_tasks(lock);
  }

  void await(std::uint64_t seen, std::uint64_t target) noexcept override {
    if (help(seen) || spin(target)) return;
    lock_type lock(mutex_);
    if (finished() != seen || order_.has_next_to_finish()) return;
    wake_.arm(target);
    lock.unlock();
    wake_.sleep();
  }

  void cancel(request_record* /*oldest*/) noexcept override {
    lock_type lock(mutex_);
    order_.end_cancelled();
    settle(lock);
  }

  void await_until(std::uint64_t seen, std::uint64_t target, std::chrono::steady_clock::time_point deadline) override {
    if (spin(target)) return;
    lock_type lock(mutex_);
    if (finished() != seen) return;
    wake_.arm(target);
    lock.unlock();
    wake_.sleep_until(deadline);
  }

 private:
  using lock_type = std::unique_lock<mutex>;

  void run() noexcept override {
    stay_back();
    lock_type lock(mutex_);
    --pending_;
    if (is_inside_execute()) return;
    bool runs_inside_execute = false;  // the executor has run a task of this dispatcher inside `execute`
    for (std::size_t carried_out = 0;;) {
      settle(lock);
      if (!runs_inside_execute) runs_inside_execute = call_for_help(lock, 1);
      if (order_.has_question()) {
        answer(lock);
      } else if (order_.startable() != 0) {
        // One at a time: what ends at once is published before the next begins, which may depend on the owner.
        if (request_record* const record = order_.next_front()) carried_out += carry_out(*record, lock);
      } else {
        break;
      }
      if (carried_out < requests_per_turn) continue;
      // Another queue gets this thread, and a new task does the rest.
      settle(lock);
      carried_out = 0;
      if (runs_inside_execute || !needs_task(0)) continue;
      runs_inside_execute = call_for_help(lock, 0);
      if (!needs_task(0)) break;  // else it refuses, or the new task has come and gone
    }
    // The owner must not depend on when the executor runs the other tasks.
    wake_owner_if_alone(lock);
  }

  /// Worker that turns away from requests: wakes a sleeping owner that could carry out the next to finish. Unlocks
  /// for a while.
  void wake_owner_if_alone(lock_type& lock) noexcept {
    if (!wake_.has_sleeper() || !order_.has_next_to_finish()) return;
    lock.unlock();
    wake_.tell_anyway();
    lock.lock();
  }

  /// Owner: carries out the request that has to finish first, if no worker has begun it. Returns whether more than
  /// `seen` have finished.
  bool help(std::uint64_t seen) noexcept {
    lock_type lock(mutex_);
    if (order_.has_question()) answer(lock);
    // If something has finished meanwhile, the owner must not begin the next: it may depend on what the owner does now.
    if (order_.finished() == seen)
      if (request_record* const record = order_.next_to_finish()) carry_out(*record, lock);
    settle(lock);
    try {
      add_tasks(lock);
    } catch (...) {  // NOLINT(bugprone-empty-catch): the owner's next call tries again, or does the work itself
    }
    return finished() != seen;
  }

  /// Carries out the request, and those that continue it and may start. Returns how many requests that were.
  std::size_t carry_out(request_record& record, lock_type& lock) noexcept {
    batch requests(record);
    if (!order_.failures().holds()) gather(requests, lock);
    if (order_.failures().needs_file(record)) {
      lock.unlock();
      const file_identity file = file_probe().identity(record.fd);
      lock.lock();
      if (const int error = order_.failures().admits(record, file); error != 0) {
        order_.cancel(record, error);
        return 1;
      }
    }
    lock.unlock();
    file_identity file;
    if (requests.size() > 1) {
      requests.perform();
    } else {
      finish(record);
      if (record.error != 0 && failure_log::needs_file_of_failed(record)) file = file_probe().identity(record.fd);
    }
    lock.lock();
    for (request_record* const one : requests.requests()) order_.complete(*one, file);
    return requests.size();
  }

  /// Adds to the batch what continues it and may start. Unlocks for a while.
  void gather(batch& requests, lock_type& lock) noexcept {
    const request_record& first = *requests.requests()[0];
    const open_file* file = order_.file_of(first);
    const auto continues = [&](const request_record& other) { return requests.is_continued_by(other); };
    if (file == nullptr || !order_.has_next_that(continues)) return;
    if (!file->merging_is_known) {
      lock.unlock();
      const merging learnt = merging_probe()(first.fd);
      lock.lock();
      order_.learn(first, learnt);
      file = order_.file_of(first);  // requests of other files may have come and gone
    }
    if (!file->merges.allows(first)) return;
    while (order_.has_next_that(
        [&](const request_record& other) { return continues(other) && file->merges.allows(other); })) {
      request_record* const more = order_.next_front();
      if (more == nullptr) return;
      requests.take(*more);
    }
  }

  /// Finds out what the order has to know about a file.
  void answer(lock_type& lock) noexcept {
    const schedule::question asked = order_.ask();
    lock.unlock();
    const file_facts facts = file_probe().facts(asked.fd);
    lock.lock();
    order_.learn(asked, facts);
  }

  /// Whether there is more to do than the tasks on their way and `here` workers can take.
  [[nodiscard]] bool needs_task(std::size_t here) noexcept {
    return order_.startable() + (order_.has_question() ? 1 : 0) > pending_ + here;
  }

  /// Owner: hands over the tasks that are needed now. If it is itself inside a call of a worker's, where they return at
  /// once, they change nothing, and that worker does the rest. Throws and unlocks as `add_task`.
  void add_tasks(lock_type& lock) {
    for (std::size_t most = order_.startable() + 1; most > 0 && needs_task(0); --most) add_task(lock);
  }

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

  /// Worker, with nothing in hand: hands over as many tasks as are needed besides `here` workers. If the executor
  /// refuses, the tasks that have begun do the rest, or the owner does. Returns whether the executor ran a task inside
  /// `execute`.
  bool call_for_help(lock_type& lock, std::size_t here) noexcept {
    if (!needs_task(here)) return false;
    caller self(*this);
    wake_owner_if_alone(lock);
    try {
      while (needs_task(here) && !self.has_run_task()) add_task(lock);
    } catch (...) {  // NOLINT(bugprone-empty-catch): see above
    }
    return self.has_run_task();
  }

  /// Publishes what has finished, and tells the owner. Unlocks for a while.
  void settle(lock_type& lock) noexcept {
    const std::uint64_t now = order_.finished();
    if (now == finished_.load(std::memory_order_relaxed)) return;
    const bool failed = order_.failed() != failed_;
    failed_ = order_.failed();
    // From here on the requests are the owner's. Sequentially consistent: see wake.
    finished_.store(now);
    if (!wake_.is_armed()) return;
    lock.unlock();
    wake_.tell(now, failed);
    lock.lock();
  }

  mutex mutex_;  // for all below
  schedule order_;
  std::size_t pending_ = 0;   // tasks handed over, or about to be, and not begun
  std::uint64_t failed_ = 0;  // as of the last settle()
};

}  // namespace asioq::detail
