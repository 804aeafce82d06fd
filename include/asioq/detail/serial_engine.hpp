#pragma once

#include <asioq/detail/batch.hpp>
#include <asioq/detail/execution.hpp>
#include <asioq/detail/request_block.hpp>
#include <asioq/detail/sync.hpp>
#include <asioq/detail/task_engine.hpp>
#include <asioq/options.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace asioq::detail {

/// Runs the requests of one queue one after another, in the order of their submission, on any executor.
///
/// THE ORDER, AND WHY IT HOLDS
///
/// Two parties: the *owner* (the thread that uses the queue) and the *runner* (whoever carries out requests: a task on
/// the executor, or the owner itself while it has to wait anyway). Everything they agree on is in one word:
///
///     word_ = address of the newest request in the inbox (0: empty) | waiting | urgent | scheduled | running
///
/// running:    somebody is the runner. Set only where it was clear, by compare-and-swap: at most one runner.
/// scheduled:  a task is with the executor and has not begun. Set by who is about to hand it over, cleared by the task
///             as the first thing it does: at most one task is on its way.
/// waiting:    the owner sleeps on `wake_`, or is about to. Set by the owner; cleared by whoever wakes it, or by itself
///             if it gave up; who finds it set when clearing it releases `wake_` once: no token is lost or left over.
/// urgent:     the owner sleeps in `room_.take()`, or is about to. Set and cleared by the owner.
///
/// 1. Order. The inbox is a stack, linked by `next`, on which only the owner pushes and which the runner takes as a
///    whole and turns round behind what it took earlier (`ready_`); it carries out `ready_` from the front. There is
///    one runner at a time, so requests run one by one in submission order (or several at once, if these are one
///    stretch of a file: see batch), and the count `finished_` alone says which have run: the first `finished_`
///    submitted ones.
/// 2. Hand-over. Pushing releases and taking acquires: the runner sees the request as prepared. A runner releases by
///    clearing `running`, and the next acquires by setting it: the members "of the runner" pass from one to the next.
///    Whatever happens to the word between the two is a read-modify-write, never a plain store, so the release lasts.
///    `finished_` is stored after the results and read with at least acquire: the owner sees the results, and only then
///    touches the request again.
/// 3. No request is forgotten. A push that finds neither running nor scheduled sets scheduled and hands over a task. A
///    runner clears `running` by a compare-and-swap of the whole word, which succeeds only if at that moment the inbox
///    is empty and `ready_` too, or scheduled is set. So whenever requests are unfinished, running or scheduled is set;
///    the only exception, an executor that threw while the owner was about to leave the work to it, is made good by the
///    owner's next call of `poll()` or wait.
/// 4. No wake-up is lost. The owner sets waiting, then reads `finished_`; the runner stores `finished_`, then reads
///    waiting; all four are sequentially consistent, so one of them sees the other. A blocked owner never depends on
///    the executor: it sleeps only after it has seen, in the very operation that set waiting or urgent, that somebody
///    is running; and a runner does not leave before all is finished while either is set.
/// 5. No executor that is gone is used. Only the owner uses it, or a runner with unfinished requests, for which the
///    queue's destructor waits. The engine itself is shared with the task on its way: see task_engine.
class serial_engine final : public task_engine {
 public:
  serial_engine(executor_reference executor, std::size_t max_writebacks, failure_policy on_failure)
      : task_engine(executor, max_writebacks), execution_(on_failure) {}

  void submit(request_block& block) override {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    std::uintptr_t pushed = 0;
    do {
      block.next = newest(old);
      pushed = reinterpret_cast<std::uintptr_t>(&block) | flags(old);
      if ((old & (running | scheduled)) == 0) pushed |= scheduled;
      // Release: pairs with the acquire in refill().
    } while (!word_.compare_exchange_weak(old, pushed, std::memory_order_release, std::memory_order_relaxed));
    if (flags(pushed) == flags(old)) return;
    note_owner();
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
    if ((word_.load(std::memory_order_relaxed) & (running | scheduled)) != 0 || finished() == submitted) return;
    // No task, no runner: nobody else changes the word.
    word_.fetch_or(scheduled, std::memory_order_relaxed);
    note_owner();
    try {
      hand_over();
    } catch (...) {
      word_.fetch_and(~scheduled, std::memory_order_relaxed);
      throw;
    }
  }

  void await(std::uint64_t seen, std::uint64_t target) noexcept override {
    if (help(target, true) || spin(target)) return;
    wake_at_.store(target, std::memory_order_relaxed);  // published by the next operation
    if ((word_.fetch_or(waiting) & running) != 0 && finished_.load() == seen)
      wake_.acquire();
    else
      stop_waiting();
  }

  void await_until(std::uint64_t seen, std::uint64_t target, std::chrono::steady_clock::time_point deadline) override {
    if (spin(target)) return;
    wake_at_.store(target, std::memory_order_relaxed);
    word_.fetch_or(waiting);
    if (finished_.load() != seen || !wake_.try_acquire_until(deadline)) stop_waiting();
  }

  void await_room(std::uint64_t target) noexcept override {
    while (finished() < target) {
      if (help(target, false) || spin(target)) continue;
      room_.take_spare();
      const bool somebody_runs = (word_.fetch_or(urgent) & running) != 0;
      if (somebody_runs) room_.take();
      word_.fetch_and(~urgent);
      room_.give_spare();
      if (somebody_runs) return;
    }
    room_.take();
  }

 private:
  static constexpr std::uintptr_t running = 1;
  static constexpr std::uintptr_t scheduled = 2;
  static constexpr std::uintptr_t waiting = 4;
  static constexpr std::uintptr_t urgent = 8;
  static constexpr std::uintptr_t all_flags = 15;
  static_assert(alignof(request_block) > all_flags);

  static std::uintptr_t flags(std::uintptr_t word) noexcept { return word & all_flags; }
  static request_block* newest(std::uintptr_t word) noexcept {
    return reinterpret_cast<request_block*>(word & ~all_flags);
  }

  /// A task begins: it is the runner, if nobody else is.
  void run() noexcept override {
    if ((word_.load(std::memory_order_relaxed) & waiting) == 0) leave_it_to_the_owner();
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    // Acquire: pairs with the release of the last runner.
    while (!word_.compare_exchange_weak(old, (old & ~scheduled) | running, std::memory_order_acquire,
                                        std::memory_order_relaxed)) {
    }
    if ((old & running) == 0) drain();
  }

  /// Runner on the executor: carries out requests until none is left, or until it is somebody else's turn.
  void drain() noexcept {
    for (std::uint64_t turn_ends = finished_.load(std::memory_order_relaxed) + requests_per_turn;;) {
      if (!refill()) {
        if (stop_running()) return;
        continue;
      }
      wake_owner(run_front());
      const std::uint64_t now = finished_.load(std::memory_order_relaxed);
      if (now >= turn_ends) {
        if (yield()) return;
        turn_ends = now + requests_per_turn;
      }
    }
  }

  /// Owner: if nobody is running, carries out requests until `finished()` has reached `target`, none is left or, if
  /// `stop_at_failure`, one has failed. Returns whether it was the runner.
  bool help(std::uint64_t target, bool stop_at_failure) noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    do {
      if ((old & running) != 0) return false;
      // Acquire: pairs with the release of the last runner.
    } while (!word_.compare_exchange_weak(old, old | running, std::memory_order_acquire, std::memory_order_relaxed));
    while (finished_.load(std::memory_order_relaxed) < target && refill())
      if (run_front() && stop_at_failure) break;
    leave_the_rest();
    return true;
  }

  /// Runner: whether there is a request to carry out, at the front of `ready_`.
  bool refill() noexcept {
    if (!ready_.empty()) return true;
    if (newest(word_.load(std::memory_order_relaxed)) == nullptr) return false;
    // Acquire: pairs with the release in submit().
    request_block* block = newest(word_.fetch_and(all_flags, std::memory_order_acquire));
    while (block != nullptr) {
      request_block* const older = block->next;
      ready_.push_front(*block);
      block = older;
    }
    return !ready_.empty();
  }

  /// Runner: carries out the front request of `ready_`, and those that continue it; returns whether any failed. This is
  /// the one place that decides what may start next.
  bool run_front() noexcept {
    batch next(ready_.pop_front(), unmerged_);
    while (execution_.merges() && refill() && next.can_take(*ready_.front())) next.take(ready_.pop_front());
    execution_.run(next);
    const std::size_t count = next.requests().size();
    const auto write_backs = std::ranges::count(next.requests(), asio_op::write_back, &request_block::op);
    const bool failed =
        std::ranges::any_of(next.requests(), [](const request_block* block) { return block->error != 0; });
    // From here on the blocks are the owner's. Sequentially consistent: see 4.
    finished_.store(finished_.load(std::memory_order_relaxed) + count);
    if (write_backs != 0) room_.give(static_cast<std::size_t>(write_backs));
    return failed;
  }

  /// Runner on the executor: wakes the owner if what it waits for has come.
  void wake_owner(bool failed) noexcept {
    if ((word_.load() & waiting) == 0) return;
    // wake_at_ was set before waiting. If it is already that of a later wait, the owner wakes early and looks again.
    if (!failed && finished_.load(std::memory_order_relaxed) < wake_at_.load(std::memory_order_relaxed)) return;
    if ((word_.fetch_and(~waiting, std::memory_order_acq_rel) & waiting) != 0) wake_.release();
  }

  /// Owner: does not wait after all. If somebody has ended the wait already, its token is here or about to come.
  void stop_waiting() noexcept {
    if ((word_.fetch_and(~waiting, std::memory_order_acq_rel) & waiting) == 0) wake_.acquire();
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
  /// sleeps: it must not depend on when the executor gets round to that task.
  bool yield() noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    if ((old & (waiting | urgent)) != 0 || (ready_.empty() && newest(old) == nullptr)) return false;
    if ((word_.fetch_or(scheduled, std::memory_order_relaxed) & scheduled) == 0 && !try_hand_over()) return false;
    old = word_.load(std::memory_order_relaxed);
    do {
      if ((old & (waiting | urgent)) != 0 || (old & scheduled) == 0) return false;
    } while (!word_.compare_exchange_weak(old, old & ~running, std::memory_order_release, std::memory_order_relaxed));
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
    note_owner();
    try_hand_over();  // if the executor refuses, the owner's next call tries again, or does the work itself
  }

  /// Who has set scheduled: hands over the task, or clears scheduled again if the executor refuses. Returns which.
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
  /// Only while waiting is set: the runner wakes the owner when `finished_` has reached this. Written by the owner.
  atomic<std::uint64_t> wake_at_ = 0;

  // The runner's, handed on with `running`.
  alignas(64) block_fifo<&request_block::next> ready_;  // taken from the inbox, oldest first
  execution execution_;
  int unmerged_ = -1;  // see batch
};

}  // namespace asioq::detail
