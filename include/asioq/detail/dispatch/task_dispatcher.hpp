#pragma once

#include <asioq/detail/dispatch/dispatcher.hpp>
#include <asioq/detail/dispatch/executor_reference.hpp>
#include <asioq/detail/support/spin.hpp>
#include <asioq/detail/support/sync.hpp>
#include <asioq/detail/support/wake.hpp>
#include <asioq/task.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <utility>

namespace asioq::detail {

/// A dispatcher that works in tasks on an executor. Its queue and the tasks on their way share it, and the last to
/// leave deletes it. So a queue can go while tasks that have nothing left to do are still with the executor.
///
/// `execute` is foreign code. It may run tasks before it returns, of this queue or of others, and so take as long as
/// anything that they wait for. These rules keep that from the queue:
///
/// - A worker that calls the executor is a `caller`, and has no request in hand and no claim on any.
/// - A task that finds itself inside such a call of its own thread returns, else stacks would grow without bound. The
///   outer worker does the work.
/// - The executor may go with the queue, so the queue's destructor waits for the callers. It does not wait for those of
///   its own thread, where the executor has run inside `execute` what destroys the queue.
class task_dispatcher : public dispatcher {
  static constexpr std::chrono::nanoseconds shortest_look{1500};
  static constexpr std::chrono::nanoseconds longest_look{12000};
  static constexpr std::chrono::microseconds longest_stay{200};

 public:
  int native_handle() final { return wake_.descriptor(); }
  void set_readable() noexcept final { wake_.set_readable(); }

  bool watch(std::uint64_t submitted, std::uint64_t seen, std::uint64_t target) noexcept final {
    try {
      poll(submitted);
    } catch (...) {
      // The executor refuses what the owner had left to it, and the owner has to try again.
      wake_.set_readable();
      return true;
    }
    wake_.watch(target);
    return finished_.load() == seen;  // sequentially consistent: see wake
  }

  void leave() noexcept final {
    wait_for_callers();
    drop_share();
  }

 protected:
  explicit task_dispatcher(executor_reference executor) noexcept : executor_(executor) {}

  /// What a task does.
  virtual void run() noexcept = 0;

  /// A task that begins stays back while the owner carries out the requests itself, since changing hands costs more
  /// than a short transfer. An owner that computes carries out nothing, so the task then begins after `shortest_look`.
  /// The task never yields its processor, which it might get back only after milliseconds.
  void stay_back() noexcept {
    using clock = std::chrono::steady_clock;
    clock::time_point now = clock::now();
    const clock::time_point end = now + longest_stay;
    std::uint64_t before = finished();
    for (auto look = shortest_look; now < end && !wake_.has_sleeper(); look = std::min(2 * look, longest_look)) {
      const clock::time_point next = now + look;
      do adaptive_spin::pause();
      while ((now = clock::now()) < next);
      const std::uint64_t last = std::exchange(before, finished());
      if (before == last) return;
    }
  }

  /// Owner, before it sleeps: waits a moment. Returns whether `finished()` has reached `target`.
  bool spin(std::uint64_t target) noexcept {
    return spin_.until([&] { return finished() >= target; });
  }

  /// While it lives, a worker calls the executor.
  class caller {
   public:
    explicit caller(task_dispatcher& its) noexcept : its_(its), thread_(this_thread()) {
      const std::lock_guard lock(its_.callers_mutex_);
      next_ = its_.callers_.load(std::memory_order_relaxed);
      its_.callers_.store(this, std::memory_order_relaxed);
    }
    caller(const caller&) = delete;
    caller& operator=(const caller&) = delete;
    ~caller() {
      if (leave_list()) its_.wake_.tell_anyway();
    }

    /// Whether the executor has run a task of this dispatcher inside the call, which has left its work to this worker.
    [[nodiscard]] bool has_run_task() const noexcept { return has_run_task_; }

   private:
    friend class task_dispatcher;

    /// Returns whether the queue's destructor may wait for this.
    bool leave_list() noexcept {
      const std::lock_guard lock(its_.callers_mutex_);
      if (caller* one = its_.callers_.load(std::memory_order_relaxed); one == this) {
        its_.callers_.store(next_, std::memory_order_relaxed);
      } else {
        while (one->next_ != this) one = one->next_;
        one->next_ = next_;
      }
      return its_.is_leaving_;
    }

    task_dispatcher& its_;
    const thread_id thread_;
    caller* next_ = nullptr;     // under callers_mutex_
    bool has_run_task_ = false;  // this thread's
  };

  /// A task that begins: whether it is inside a call of the executor by a worker of this dispatcher, on this thread. It
  /// then has to return.
  bool is_inside_execute() noexcept {
    // Relaxed: what this thread has put into the list itself it sees.
    if (callers_.load(std::memory_order_relaxed) == nullptr) return false;
    const std::lock_guard lock(callers_mutex_);
    for (caller* one = callers_.load(std::memory_order_relaxed); one != nullptr; one = one->next_) {
      if (one->thread_ != this_thread()) continue;
      one->has_run_task_ = true;
      return true;
    }
    return false;
  }

  /// Gives the executor a task. Throws what the executor throws, which then has not taken it.
  void hand_over() {
    shares_.fetch_add(1, std::memory_order_relaxed);  // the caller's share keeps the count above 0
    try {
      executor_.execute(task{run_task, this});
    } catch (...) {
      shares_.fetch_sub(1, std::memory_order_relaxed);
      throw;
    }
  }

 private:
  static void run_task(void* context) noexcept {
    auto* const its = static_cast<task_dispatcher*>(context);
    its->run();
    its->drop_share();
  }

  void wait_for_callers() noexcept {
    std::unique_lock lock(callers_mutex_);
    is_leaving_ = true;
    while (has_caller_elsewhere()) {
      wake_.arm(wake::never);
      lock.unlock();
      wake_.sleep();
      lock.lock();
    }
  }

  /// Under callers_mutex_: whether a worker on another thread calls the executor.
  [[nodiscard]] bool has_caller_elsewhere() const noexcept {
    const caller* one = callers_.load(std::memory_order_relaxed);
    while (one != nullptr && one->thread_ == this_thread()) one = one->next_;
    return one != nullptr;
  }

  void drop_share() noexcept {
    // Acquire and release: the party that deletes it must see everything that the others did with it.
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const executor_reference executor_;
  /// Invariant: 1 for the queue until it leaves, plus 1 for each task from before its hand-over until its end.
  atomic<unsigned> shares_ = 1;
  adaptive_spin spin_;  // owner only

  mutex callers_mutex_;                // for the two below; held for a moment only, never while foreign code runs
  atomic<caller*> callers_ = nullptr;  // the list of them
  bool is_leaving_ = false;            // the queue's destructor waits for the list to be empty

 protected:
  wake wake_;
};

}  // namespace asioq::detail
