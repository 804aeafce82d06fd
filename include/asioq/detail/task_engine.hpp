#pragma once

#include <asioq/detail/engine.hpp>
#include <asioq/detail/executor_reference.hpp>
#include <asioq/detail/room.hpp>
#include <asioq/detail/spin.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <semaphore>
#include <thread>

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
  static constexpr unsigned batches_per_turn = 64;  // then another queue may have the worker

  task_engine(executor_reference executor, std::size_t max_writebacks) : executor_(executor), room_(max_writebacks) {}

  /// What a task does.
  virtual void run() noexcept = 0;

  /// Owner, before it hands over a task.
  void note_owner() noexcept { owner_.store(std::this_thread::get_id(), std::memory_order_relaxed); }

  /// A task that has just begun: steps back for a moment, and for as long as the owner carries out its requests itself,
  /// since it waits for them. On its thread nothing has to change hands, which costs more than a short transfer; and while
  /// this task counts as on its way, no other need be handed over. It only begins later; nothing depends on that.
  void leave_it_to_the_owner() const noexcept {
    if (owner_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return;  // it is here, not at work
    for (int i = 0; i < 64; ++i) {  // some 100 µs, unless others need the processor
      const std::uint64_t before = finished();
      for (int k = 0; k < 4; ++k) std::this_thread::yield();
      if (finished() == before) return;
    }
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
  std::atomic<unsigned> shares_ = 1;
  /// The owner's thread when it last handed over a task. Written by the owner; relaxed: it decides about speed alone.
  std::atomic<std::thread::id> owner_;

 protected:
  adaptive_spin spin_;  // owner only
  /// Permits for write-backs: taken by the owner, given back just after `finished_` covers the write-back.
  room room_;
  /// The token that wakes the owner: 1 from when its sleep is ended by another until it takes it.
  std::binary_semaphore wake_{0};
};

}  // namespace asioq::detail
