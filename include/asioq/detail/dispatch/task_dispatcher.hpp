#pragma once

#include <asioq/detail/dispatch/dispatcher.hpp>
#include <asioq/detail/dispatch/executor_reference.hpp>
#include <asioq/detail/support/spin.hpp>
#include <asioq/detail/support/sync.hpp>
#include <asioq/detail/support/wake.hpp>

#include <atomic>

namespace asioq::detail {

/// A dispatcher that works in tasks on an executor. Its queue and the tasks on their way share it, and the last to
/// leave deletes it. So a queue can go while tasks that have nothing left to do are still with the executor.
class task_dispatcher : public dispatcher {
 public:
  void leave() noexcept final {
    before_leaving();
    drop_share();
  }

 protected:
  explicit task_dispatcher(executor_reference executor) noexcept : executor_(executor) {}

  /// What a task does.
  virtual void run() noexcept = 0;

  /// Owner, when the queue goes: waits until no task uses the executor.
  virtual void before_leaving() noexcept {}

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

  void drop_share() noexcept {
    // Acquire and release: the party that deletes it must see everything that the others did with it.
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const executor_reference executor_;
  /// Invariant: 1 for the queue until it leaves, plus 1 for each task from before its hand-over until its end.
  atomic<unsigned> shares_ = 1;

 protected:
  adaptive_spin spin_;  // owner only
  wake wake_;
};

}  // namespace asioq::detail
