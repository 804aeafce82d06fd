#pragma once

/// @file
/// Threads that run the requests of any number of queues.

#include <asioq/detail/support/spin.hpp>
#include <asioq/detail/support/task_ring.hpp>
#include <asioq/executor.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

namespace asioq {

/// A fixed number of `std::jthread` workers that run tasks in the order in which they come.
///
/// A worker is busy for as long as the file operation it carries out; the number of threads is the number of operations
/// that can be inside the kernel at the same time, of one queue or of several. One idle worker looks for work for 2 to
/// 20 µs before it sleeps, less where that is in vain. The pool must outlive every queue that uses its executor. Its
/// destructor runs all tasks it has accepted, then joins.
class thread_pool {
 public:
  /// What to give to a queue: a pointer to the pool, valid as long as the pool.
  class executor_type {
   public:
    /// Queues the task, and wakes a sleeping worker unless one that stands by will take it. Throws `std::bad_alloc`
    /// only when more tasks are waiting than ever before; the task has then not been taken.
    void execute(task work) const { pool_->push(work); }

    bool operator==(const executor_type&) const = default;

   private:
    friend class thread_pool;
    explicit executor_type(thread_pool& pool) noexcept : pool_(&pool) {}
    thread_pool* pool_;
  };

  /// Starts `threads` workers. Throws `std::invalid_argument` if that is 0, and what starting a thread throws
  /// (`std::system_error`); the workers started before are then joined.
  explicit thread_pool(std::size_t threads) {
    if (threads == 0) throw std::invalid_argument("asioq: a thread pool needs at least one thread");
    workers_.reserve(threads);
    while (workers_.size() < threads) workers_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }

  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() = default;

  /// An executor that runs tasks on this pool.
  [[nodiscard]] executor_type executor() noexcept { return executor_type{*this}; }

  /// The number of workers.
  [[nodiscard]] std::size_t size() const noexcept { return workers_.size(); }

 private:
  void push(task work) {
    bool wakes = false;
    {
      const std::lock_guard lock(mutex_);
      tasks_.push(work);
      wakes = tasks_.size() > (standing_by_ ? 1U : 0U);
    }
    // Outside the lock: who stands by would find it taken.
    pushed_.fetch_add(1, std::memory_order_relaxed);
    if (wakes) wake_.notify_one();
  }

  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (tasks_.empty() && !standing_by_) stand_by(lock);
      const auto may_go_on = [this] { return !tasks_.empty(); };
      // False only when a stop is requested and no task is left: what was accepted is run.
      if (!may_go_on() && !wake_.wait(lock, stop, may_go_on)) return;
      const task next = tasks_.pop();
      lock.unlock();
      next();
      lock.lock();
    }
  }

  /// One worker at a time looks a while for the next task before it sleeps: whoever pushes one spares the wake-up,
  /// which costs more than many a transfer. It counts on this worker for one task, and this worker looks again under
  /// the lock.
  void stand_by(std::unique_lock<std::mutex>& lock) noexcept {
    standing_by_ = true;
    const unsigned before = pushed_.load(std::memory_order_relaxed);
    lock.unlock();
    spin_.until([&] { return pushed_.load(std::memory_order_relaxed) != before; });
    lock.lock();
    standing_by_ = false;
  }

  std::mutex mutex_;  // protects tasks_ and standing_by_
  detail::task_ring tasks_;
  bool standing_by_ = false;    // a worker is in stand_by(): it will look at tasks_ without being woken
  detail::adaptive_spin spin_;  // of who stands by
  /// Changes soon after each push: a hint for who stands by, under which nothing is read, hence relaxed.
  alignas(64) std::atomic<unsigned> pushed_ = 0;
  std::condition_variable_any wake_;   // waits for: tasks_ not empty, or stop
  std::vector<std::jthread> workers_;  // last, so that it goes first: the workers use all the others until joined
};

static_assert(executor<thread_pool::executor_type>);

}  // namespace asioq
