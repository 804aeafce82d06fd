#pragma once

#include <asioq/detail/engine.hpp>
#include <asioq/detail/executor_reference.hpp>
#include <asioq/detail/room.hpp>
#include <asioq/detail/spin.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <semaphore>

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
  std::atomic<unsigned> shares_ = 1;

 protected:
  adaptive_spin spin_;  // owner only
  /// Permits for write-backs: taken by the owner, given back just after `finished_` covers the write-back.
  room room_;
  /// The token that wakes the owner: 1 from when its sleep is ended by another until it takes it.
  std::binary_semaphore wake_{0};
};

}  // namespace asioq::detail
