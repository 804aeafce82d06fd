#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/dispatch/carry_out.hpp>
#include <asioq/detail/dispatch/executor_reference.hpp>
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
/// There are two parties. The *owner* is the thread that uses the queue. The *runner* is the thread that carries out
/// requests: a task on the executor, or the owner itself while it has to wait anyway. All that they share is one word
/// and a count.
///
///     word_ = address of the newest request in the inbox (0: empty) | scheduled | running
///
/// running:    there is a runner. A compare-and-swap sets the flag, and only where it was clear, so there is at most
///             one runner.
/// scheduled:  a task is with the executor and has not begun. The party that is about to hand the task over sets the
///             flag, and the task clears it before it carries out anything, so at most one task is on its way. While a
///             task is the runner, none is.
///
/// All interleavings of a few requests are searched in tests/model/strict_dispatcher.pml, which has the same names.
///
/// 1. Order. The inbox is a stack, linked by `next`. Only the owner pushes on it. The runner takes it as a whole,
///    reverses it behind what it took earlier (`ready_`), and carries out `ready_` from the front. There is one runner
///    at a time, so requests run one by one in submission order (or several at once if they are one stretch of a file,
///    see batch). So the count `finished_` alone says which have run: the first `finished_` that were submitted.
/// 2. Hand-over. A push releases and the runner's take acquires, so the runner sees the request as prepared. A runner
///    releases by clearing `running`, and the next one acquires by setting it, so the members "of the runner" pass from
///    one to the next. Every change of the word between the two is a read-modify-write, never a plain store, which
///    continues the release sequence. The runner stores `finished_` after the results, and the owner reads it with at
///    least acquire. So the owner sees the results, and only then touches the request again.
/// 3. No request is forgotten. A push that finds neither running nor scheduled sets scheduled and hands over a task. A
///    runner clears `running` by a compare-and-swap of the whole word, which succeeds only if at that moment the inbox
///    and `ready_` are empty or scheduled is set. So whenever requests are unfinished, running or scheduled is set. The
///    only exception is an executor that throws while the owner leaves the work to it; the owner's next `poll()` or
///    wait makes up for that.
/// 4. No wake-up is lost. See `wake` for why the owner is told of what it sleeps for. Besides, a sleeping owner never
///    depends on the executor. The owner sleeps only after it has armed and then seen `running`; a runner that leaves
///    requests to a task clears `running` and then looks whether the owner has armed. All four accesses are
///    sequentially consistent. So either the owner sees that there is no runner and carries out requests itself, or the
///    runner sees the owner and wakes it.
/// 5. No claim is held across a call of the executor, which may run a task of another queue inside `execute`. At the
///    end of a turn the runner exchanges running for scheduled in one step, and only then hands the task over. If the
///    executor refuses the task, or runs it on this thread inside `execute`, the flag is the worker's again: it does
///    what a task does that begins. So the flag always belongs to one party, which clears it.
/// 6. No executor is used after its end. Only the owner uses it, or a worker for which the queue's destructor waits, as
///    a caller. The task on its way shares the dispatcher itself: see task_dispatcher.
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
      // Without a task or a runner the word is the owner's alone. A plain store would still be wrong: it would end the
      // release sequences of the last runner and of what stays in the inbox, and the next runner would see neither.
      word_.exchange(old, std::memory_order_relaxed);
      throw;
    }
  }

  /// Tries again to hand over a task if unfinished requests have neither task nor runner because the executor threw.
  void poll(std::uint64_t submitted) override {
    // Acquire: pairs with the release of the last runner, so that finished() is at least what that one has left.
    if ((word_.load(std::memory_order_acquire) & (running | scheduled)) != 0 || finished() == submitted) return;
    // No task, no runner: nothing else changes the word.
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

  /// All that has not begun is cancelled, and ends at once without a transfer. So this does not block.
  void cancel(request_record* /*oldest*/) noexcept override { help(wake::never, false); }

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

  /// A burst begins with a smaller call, so that merging does not keep its first result waiting for all the others.
  static constexpr std::size_t first_of_burst = 8;  // requests

  static std::uintptr_t flags(std::uintptr_t word) noexcept { return word & all_flags; }
  static request_record* newest(std::uintptr_t word) noexcept {
    return reinterpret_cast<request_record*>(word & ~all_flags);
  }

  void run() noexcept override {
    if (is_inside_execute()) return;
    stay_back();
    if (start_running()) drain();
  }

  /// A task begins. It becomes the runner if there is none. Returns whether it has.
  bool start_running() noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    // Acquire: pairs with the release of the last runner.
    while (!word_.compare_exchange_weak(old, (old & ~scheduled) | running, std::memory_order_acquire,
                                        std::memory_order_relaxed)) {
    }
    return (old & running) == 0;
  }

  /// Runner on the executor: carries out requests until none is left, or until it is another queue's turn.
  void drain() noexcept {
    for (std::uint64_t turn_ends = finished_.load(std::memory_order_relaxed) + requests_per_turn;;) {
      if (!refill()) {
        if (stop_running()) return;
        continue;
      }
      const bool failed = run_front(std::memory_order_seq_cst);  // see wake
      const std::uint64_t now = finished_.load(std::memory_order_relaxed);
      wake_.tell(now, failed);
      if (now >= turn_ends) {
        if (yield()) return;
        turn_ends = finished_.load(std::memory_order_relaxed) + requests_per_turn;
      }
    }
  }

  /// Owner: if there is no runner, carries out requests until `finished()` has reached `target`, none is left or, with
  /// `until_failure`, one has failed. Returns whether it was the runner.
  bool help(std::uint64_t target, bool until_failure = true) noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    do {
      if ((old & running) != 0) return false;
      // Acquire: pairs with the release of the last runner.
    } while (!word_.compare_exchange_weak(old, old | running, std::memory_order_acquire, std::memory_order_relaxed));
    while (finished_.load(std::memory_order_relaxed) < target && refill())
      if (run_front(std::memory_order_release) && until_failure) break;  // the owner does not sleep now
    leave_the_rest();
    return true;
  }

  /// Runner: takes in the inbox if `ready_` is empty. Returns whether `ready_` then has a request.
  bool refill() noexcept {
    if (!ready_.empty()) return true;
    if (newest(word_.load(std::memory_order_relaxed)) == nullptr) {
      begins_burst_ = true;
      merging_of_.forget();
      return false;
    }
    // Acquire: pairs with the release in submit().
    request_record* record = newest(word_.fetch_and(all_flags, std::memory_order_acquire));
    while (record != nullptr) {
      request_record* const older = record->next;
      ready_.push_front(*record);
      record = older;
    }
    return true;
  }

  /// Runner: carries out the front request of `ready_` and those that continue it. Returns whether any failed. This is
  /// the one place that decides what may start next.
  bool run_front(std::memory_order publishing) noexcept {
    request_record& first = ready_.pop_front();
    std::size_t count = 1;
    bool failed = false;
    if (may_be_continued(first)) {
      batch next(first);
      gather(next);
      count = next.size();
      // These are transfers under `proceed`, which the failure log neither admits nor records.
      if (count > 1) failed = !next.perform();
    }
    if (count == 1) failed = !carry_out(first, failures_, file_probe());
    begins_burst_ = false;
    // From here on the requests are the owner's. At least a release: pairs with the acquire in finished().
    finished_.store(finished_.load(std::memory_order_relaxed) + count, publishing);
    return failed;
  }

  /// Runner: whether it is worth looking for requests that could leave together with this one.
  bool may_be_continued(const request_record& first) noexcept {
    return !first.must_not_begin() && !merging_of_.refuses(first.fd) && !failures_.holds() && refill() &&
           ready_.front()->fd == first.fd;
  }

  /// Runner: adds to the batch what continues it.
  void gather(batch& next) noexcept {
    const request_record& first = *next.requests()[0];
    if (!next.is_continued_by(*ready_.front())) return;
    const merging allowed = merging_of_(first.fd);
    if (!allowed.allows(first)) return;
    const bool is_awaited = first.op != asio_op::write_back;
    const std::size_t limit = is_awaited && begins_burst_ ? first_of_burst : batch::most;
    while (next.size() < limit && refill() && next.is_continued_by(*ready_.front()) &&
           allowed.allows(*ready_.front()) && !ready_.front()->must_not_begin())
      next.take(ready_.pop_front());
  }

  /// Runner with nothing left in `ready_`: stops being the runner unless something has been submitted. Returns whether
  /// it has stopped.
  bool stop_running() noexcept {
    std::uintptr_t old = word_.load(std::memory_order_relaxed);
    do {
      if (newest(old) != nullptr) return false;
      // Release: pairs with the acquire of the next runner, which gets the runner's members.
    } while (!word_.compare_exchange_weak(old, old & ~running, std::memory_order_release, std::memory_order_relaxed));
    return true;
  }

  /// Runner on the executor: leaves the rest to a new task, so that other queues get their turn. It does not while the
  /// owner sleeps, since the owner must not depend on when the executor runs that task. Returns whether it has stopped
  /// being the runner.
  bool yield() noexcept {
    if (wake_.has_sleeper() || (ready_.empty() && newest(word_.load(std::memory_order_relaxed)) == nullptr))
      return false;
    bool is_handed_over = true;
    {
      caller self(*this);
      word_.fetch_xor(running | scheduled);  // sequentially consistent: see 4
      wake_.tell_anyway();
      try {
        hand_over();
      } catch (...) {
        is_handed_over = false;
      }
      if (self.has_run_task()) is_handed_over = false;
    }
    return is_handed_over || !start_running();
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
    try {
      hand_over();
    } catch (...) {  // the owner's next call tries again, or does the work itself
      word_.fetch_and(~scheduled, std::memory_order_relaxed);
    }
  }

  /// See the class. Written by the owner, the runner and tasks.
  alignas(64) atomic<std::uintptr_t> word_ = 0;

  // The runner's; they pass to the next runner with `running`.
  alignas(64) record_fifo<&request_record::next> ready_;  // taken from the inbox, oldest first
  failure_log failures_;
  merging_probe merging_of_;
  bool begins_burst_ = true;  // there was nothing to do before
};

}  // namespace asioq::detail
