#pragma once

/// @file
/// Threads that run the requests of any number of queues.

#include <asioq/detail/task_ring.hpp>
#include <asioq/executor.hpp>

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
/// A worker is busy for as long as the file operation it carries out; the number of threads is the number of queues that
/// can be inside the kernel at the same time. The pool must outlive every queue that uses its executor. Its destructor
/// runs all tasks it has accepted, then joins.
class thread_pool {
 public:
  /// What to give to a queue: a pointer to the pool, valid as long as the pool.
  class executor_type {
   public:
    /// Queues the task and wakes a worker if one sleeps. Throws `std::bad_alloc` only when more tasks are waiting than
    /// ever before; the task has then not been taken.
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
    {
      const std::lock_guard lock(mutex_);
      tasks_.push(work);
    }
    // Outside the lock: the woken worker would run into it. With no sleeper this makes no system call.
    wake_.notify_one();
  }

  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    // False only when a stop is requested and no task is left: what was accepted is run.
    while (wake_.wait(lock, stop, [this] { return !tasks_.empty(); })) {
      const task next = tasks_.pop();
      lock.unlock();
      next();
      lock.lock();
    }
  }

  std::mutex mutex_;  // protects tasks_
  detail::task_ring tasks_;
  std::condition_variable_any wake_;   // waits for: tasks_ not empty, or stop
  std::vector<std::jthread> workers_;  // last, so that it goes first: the workers use all the others until joined
};

static_assert(executor<thread_pool::executor_type>);

}  // namespace asioq
