#pragma once

#include <asioq/detail/engine.hpp>
#include <asioq/detail/executor_reference.hpp>
#include <asioq/detail/room.hpp>
#include <asioq/detail/spin.hpp>
#include <asioq/detail/sync.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <semaphore>
#include <thread>
#include <utility>

namespace asioq::detail {

/// An engine that works in tasks on an executor. It is shared by its queue and by the tasks on their way; the last to
/// leave deletes it. So a queue can go while tasks, having nothing left to do, are still with the executor.
class task_engine : public engine {
 public:
  void leave() noexcept final {
    // Acquire and release: whoever deletes must see that all others are through with it.
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void take_room() noexcept final { room_.take(); }
  void give_room() noexcept final { room_.give(); }

 protected:
  task_engine(executor_reference executor, std::size_t max_writebacks) : executor_(executor), room_(max_writebacks) {}

  /// What a task does.
  virtual void run() noexcept = 0;

  /// Owner, before it hands over a task.
  void note_owner() noexcept { owner_.store(std::this_thread::get_id(), std::memory_order_relaxed); }

  /// A task that has just begun: steps back for a moment, and for as long as the owner carries out its requests itself,
  /// since it waits for them. On its thread nothing has to change hands, which costs more than a short transfer; and while
  /// this task counts as on its way, no other need be handed over. It only begins later; nothing depends on that.
  ///
  /// It steps back for 5 µs or, if the owner is at it, for 200. Where others need the processor, one yield may take
  /// milliseconds: it then stops at once, and if that was in vain seldom tries again.
  void leave_it_to_the_owner() noexcept {
    using clock = std::chrono::steady_clock;
    if (owner_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return;  // it is here, not at work
    const unsigned to_skip = to_skip_.load(std::memory_order_relaxed);
    if (to_skip > 0) {
      to_skip_.store(to_skip - 1, std::memory_order_relaxed);
      return;
    }
    const std::uint64_t begin = finished();
    const clock::time_point start = clock::now();
    clock::time_point now = start;
    std::uint64_t before = 0;
    bool is_shared = false;
    do {
      before = finished();
      for (int i = 0; i < 4 && !is_shared; ++i) {
        std::this_thread::yield();
        const clock::time_point last = std::exchange(now, clock::now());
        is_shared = now - last > std::chrono::microseconds(20);
      }
    } while (!is_shared && finished() != before && now - start < std::chrono::microseconds(200));
    const bool was_in_vain = is_shared && finished() == begin;
    const unsigned skip = was_in_vain ? std::min(2 * in_vain_.load(std::memory_order_relaxed) + 1, 63U) : 0;
    in_vain_.store(skip, std::memory_order_relaxed);
    to_skip_.store(skip, std::memory_order_relaxed);
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
    auto* const engine = static_cast<task_engine*>(context);
    engine->run();
    engine->leave();
  }

  const executor_reference executor_;
  /// Invariant: 1 for the queue until it leaves, plus 1 for each task from before its hand-over until its end.
  atomic<unsigned> shares_ = 1;
  // These decide about speed alone, hence relaxed.
  atomic<std::thread::id> owner_;  // its thread when it last handed over a task; written by the owner
  atomic<unsigned> to_skip_ = 0;   // step-backs that are not tried; written by tasks
  atomic<unsigned> in_vain_ = 0;   // what to_skip_ was, 0 after a success; written by tasks

 protected:
  adaptive_spin spin_;  // owner only
  /// Permits for write-backs: taken by the owner, given back just after `finished_` covers the write-back.
  room room_;
  /// The token that wakes the owner: 1 from when its sleep is ended by another until it takes it.
  counting_semaphore wake_{0};
};

}  // namespace asioq::detail
