#pragma once

#include <asioq/detail/dispatch/carry_out.hpp>
#include <asioq/detail/dispatch/task_dispatcher.hpp>
#include <asioq/detail/order/failure_log.hpp>
#include <asioq/detail/order/file_probe.hpp>
#include <asioq/detail/request/fifo.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/sync.hpp>
#include <asioq/detail/transfer/batch.hpp>
#include <asioq/detail/transfer/merging.hpp>
#include <asioq/options.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace asioq::detail {

/// Runs the requests of one queue one after another, in the order of their submission, on any executor.
///
/// THE ORDER, AND WHY IT HOLDS
///
/// Two parties: the *owner* (the thread that uses the queue) and the *runner* (the thread that carries out requests: a
/// task on the executor, or the owner itself while it has to wait anyway). Everything they agree on is in one word:
///
///     word_ = address of the newest request in the inbox (0: empty) | scheduled | running
///
/// running:    there is a runner. Set only where it was clear, by compare-and-swap: at most one runner.
/// scheduled:  a task is with the executor and has not begun. Set by the party that is about to hand it over, cleared
///             by the task as the first thing it does: at most one task is on its way.
///
/// All interleavings of a few requests are searched in tests/model/strict_dispatcher.pml, which has the same names.
///
/// 1. Order. The inbox is a stack, linked by `next`, on which only the owner pushes and which the runner takes as a
///    whole and reverses behind what it took earlier (`ready_`); it carries out `ready_` from the front. There is one
///    runner at a time, so requests run one by one in submission order (or several at once, if these are one stretch of
///    a file: see batch), and the count `finished_` alone says which have run: the first `finished_` submitted ones.
/// 2. Hand-over. Pushing releases and taking acquires: the runner sees the request as prepared. A runner releases by
///    clearing `running`, and the next acquires by setting it: the members "of the runner" pass from one to the next.
///    Every change of the word between the two is a read-modify-write, never a plain store, so the release sequence
///    goes on. `finished_` is stored after the results and read with at least acquire: the owner sees the results, and
///    only then touches the request again.
/// 3. No request is forgotten. A push that finds neither running nor scheduled sets scheduled and hands over a task. A
///    runner clears `running` by a compare-and-swap of the whole word, which succeeds only if at that moment the inbox
///    is empty and `ready_` too, or scheduled is set. So whenever requests are unfinished, running or scheduled is set;
///    the only exception, an executor that threw while the owner was about to leave the work to it, is made good by the
///    owner's next call of `poll()` or wait.
/// 4. No wake-up is lost. That what the owner sleeps for is told is shown at `wake`. Besides, a sleeping owner never
///    depends on the executor: it sleeps only after it has armed and then seen `running`, and a runner that leaves
///    requests to a task clears `running` and then looks whether the owner has armed. All four are sequentially
///    consistent, so either the owner sees that there is no runner and carries out requests itself, or the runner sees
///    the owner and wakes it.
/// 5. No executor that is gone is used. Only the owner uses it, or a runner with unfinished requests, for which the
///    queue's destructor waits. The dispatcher itself is shared with the task on its way: see task_dispatcher.
class strict_dispatcher final : public task_dispatcher {
 public:
  strict_dispatcher(executor_reference executor, failure_policy on_failure)
      : task_dispatcher(executor), failures_(on_failure) {}

  void submit(request_record& record) override {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    std::uintptr_t pushed = 0;
    do {
      record.next = newest(old);
      pushed = reinterpret_cast<std::uintptr_t>(&record) | flags(old);
      if ((old & (running | scheduled)) == 0) pushed |= scheduled;
      // Release: pairs with the acquire in refill().
    } while (!word_.compare_exchange_weak(old, pushed, std::memory_order_release, std::memory_order_relaxed));
    if (flags(pushed) == flags(old)) return;
    try {
      hand_over();
    } catch (...) {
      // No task, no runner: the word is the owner's alone. But no store: it would end the release sequences of the last
      // runner and of what stays in the inbox, and the next runner would see neither.
      word_.exchange(old, std::memory_order_relaxed);
      throw;
    }
  }

  /// If unfinished requests were left to nobody because the executor threw, tries again.
  void poll(std::uint64_t submitted) override {
    // Acquire: pairs with the release of the last runner, so that finished() is at least what that one has left.
    if ((word_.load(std::memory_order_acquire) & (running | scheduled)) != 0 || finished() == submitted) return;
    // No task, no runner: nobody else changes the word.
    word_.fetch_or(scheduled, std::memory_order_relaxed);
    try {
      hand_over();
    } catch (...) {
      word_.fetch_and(~scheduled, std::memory_order_relaxed);
      throw;
    }
  }

  void await(std::uint64_t seen, std::uint64_t target) noexcept override {
    if (help(target) || spin(target)) return;
    wake_.arm(target);
    if (finished_.load() == seen && (word_.load() & running) != 0)
      wake_.sleep();
    else
      wake_.disarm();
  }

  void await_until(std::uint64_t seen, std::uint64_t target, std::chrono::steady_clock::time_point deadline) override {
    if (spin(target)) return;
    wake_.arm(target);
    if (finished_.load() == seen)
      wake_.sleep_until(deadline);
    else
      wake_.disarm();
  }

 private:
  static constexpr std::uintptr_t running = 1;
  static constexpr std::uintptr_t scheduled = 2;
  static constexpr std::uintptr_t all_flags = 3;
  static_assert(alignof(request_record) > all_flags);

  static std::uintptr_t flags(std::uintptr_t word) noexcept { return word & all_flags; }
  static request_record* newest(std::uintptr_t word) noexcept {
    return reinterpret_cast<request_record*>(word & ~all_flags);
  }

  /// A task begins: it is the runner, if there is none.
  void run() noexcept override {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    // Acquire: pairs with the release of the last runner.
    while (!word_.compare_exchange_weak(old, (old & ~scheduled) | running, std::memory_order_acquire,
                                        std::memory_order_relaxed)) {
    }
    if ((old & running) == 0) drain();
  }

  /// Runner on the executor: carries out requests until none is left, or until it is another queue's turn.
  void drain() noexcept {
    for (std::uint64_t turn_ends = finished_.load(std::memory_order_relaxed) + requests_per_turn;;) {
      if (!refill()) {
        if (stop_running()) return;
        continue;
      }
      const bool failed = run_front();
      const std::uint64_t now = finished_.load(std::memory_order_relaxed);
      wake_.tell(now, failed);
      if (now >= turn_ends) {
        if (yield()) return;
        turn_ends = now + requests_per_turn;
      }
    }
  }

  /// Owner: if there is no runner, carries out requests until `finished()` has reached `target`, none is left or
  /// one has failed. Returns whether it was the runner.
  bool help(std::uint64_t target) noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    do {
      if ((old & running) != 0) return false;
      // Acquire: pairs with the release of the last runner.
    } while (!word_.compare_exchange_weak(old, old | running, std::memory_order_acquire, std::memory_order_relaxed));
    while (finished_.load(std::memory_order_relaxed) < target && refill())
      if (run_front()) break;
    leave_the_rest();
    return true;
  }

  /// Runner: whether there is a request to carry out, at the front of `ready_`.
  bool refill() noexcept {
    if (!ready_.empty()) return true;
    if (newest(word_.load(std::memory_order_relaxed)) == nullptr) return false;
    // Acquire: pairs with the release in submit().
    request_record* record = newest(word_.fetch_and(all_flags, std::memory_order_acquire));
    while (record != nullptr) {
      request_record* const older = record->next;
      ready_.push_front(*record);
      record = older;
    }
    return true;
  }

  /// Runner: carries out the front request of `ready_`, and those that continue it; returns whether any failed. This is
  /// the one place that decides what may start next.
  bool run_front() noexcept {
    batch next(ready_.pop_front());
    if (!failures_.holds()) gather(next);
    const bool failed = next.size() == 1 ? !carry_out(*next.requests()[0], failures_, file_probe()) : !next.perform();
    // From here on the blocks are the owner's. Sequentially consistent: see wake.
    finished_.store(finished_.load(std::memory_order_relaxed) + next.size());
    return failed;
  }

  /// Runner: adds what continues the batch.
  void gather(batch& next) noexcept {
    if (!refill() || !next.is_continued_by(*ready_.front())) return;
    const merging allowed = merging_of_(next.requests()[0]->fd);
    if (!allowed.allows(*next.requests()[0])) return;
    do {
      if (!allowed.allows(*ready_.front())) return;
      next.take(ready_.pop_front());
    } while (refill() && next.is_continued_by(*ready_.front()));
  }

  /// Runner with nothing left in `ready_`: is it no more, unless something has been submitted.
  bool stop_running() noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    do {
      if (newest(old) != nullptr) return false;
      // Release: the next runner gets what is the runner's.
    } while (!word_.compare_exchange_weak(old, old & ~running, std::memory_order_release, std::memory_order_relaxed));
    return true;
  }

  /// Runner on the executor: lets a new task do the rest, so that other queues get their turn. Not while the owner
  /// sleeps, which must not depend on when the executor gets round to that task.
  bool yield() noexcept {
    if (wake_.is_armed() || (ready_.empty() && newest(word_.load(std::memory_order_relaxed)) == nullptr)) return false;
    if ((word_.fetch_or(scheduled, std::memory_order_relaxed) & scheduled) == 0 && !try_hand_over()) return false;
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    do {
      if ((old & scheduled) == 0) return false;
    } while (!word_.compare_exchange_weak(old, old & ~running));  // sequentially consistent: see 4
    if (wake_.is_armed()) wake_.tell_anyway();
    return true;
  }

  /// Owner that was the runner: leaves what is left to the executor.
  void leave_the_rest() noexcept {
    const bool more = !ready_.empty();
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    std::uintptr_t left = 0;
    do {
      left = old & ~running;
      if (more || newest(old) != nullptr) left |= scheduled;
    } while (!word_.compare_exchange_weak(old, left, std::memory_order_release, std::memory_order_relaxed));
    if ((old & scheduled) != 0 || (left & scheduled) == 0) return;
    try_hand_over();  // if the executor refuses, the owner's next call tries again, or does the work itself
  }

  /// Hands over a task for `scheduled`, which is set; if the executor refuses, clears it and returns false.
  bool try_hand_over() noexcept {
    try {
      hand_over();
      return true;
    } catch (...) {
      word_.fetch_and(~scheduled, std::memory_order_relaxed);
      return false;
    }
  }

  bool spin(std::uint64_t target) noexcept {
    return spin_.until([&] { return finished() >= target; });
  }

  /// See above. Written by owner, runner and tasks.
  alignas(64) atomic<std::uintptr_t> word_ = 0;

  // The runner's, handed on with `running`.
  alignas(64) record_fifo<&request_record::next> ready_;  // taken from the inbox, oldest first
  failure_log failures_;
  merging_probe merging_of_;
};

}  // namespace asioq::detail
