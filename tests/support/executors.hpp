// Executors of all kinds: each is a sink for tasks behind the one type custom_executor.
#pragma once

#include <asioq/asioq.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace asioq_test {

/// Where tasks go. It must outlive the queues; its destructor runs what is left.
class task_sink {
 public:
  task_sink() = default;
  task_sink(const task_sink&) = delete;
  task_sink& operator=(const task_sink&) = delete;
  virtual ~task_sink() = default;
  virtual void execute(asioq::task work) = 0;
};

/// The smallest executor a user can write.
struct custom_executor {
  task_sink* sink;

  void execute(asioq::task work) const { sink->execute(work); }
  bool operator==(const custom_executor&) const = default;
};
static_assert(asioq::executor<custom_executor>);

/// Runs nothing until it is told to, or until it is destroyed.
class pumped_sink : public task_sink {
 public:
  ~pumped_sink() override { run_all(); }

  void execute(asioq::task work) override {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(work);
  }

  /// Runs what is there and what that adds.
  void run_all() {
    while (run_one()) {
    }
  }

  /// Runs the oldest task; false if there is none.
  bool run_one() {
    std::unique_lock lock(mutex_);
    if (tasks_.empty()) return false;
    const asioq::task next = tasks_.front();
    tasks_.pop_front();
    lock.unlock();
    next();
    return true;
  }

  [[nodiscard]] std::size_t waiting() {
    const std::lock_guard lock(mutex_);
    return tasks_.size();
  }

 private:
  std::mutex mutex_;  // protects tasks_
  std::deque<asioq::task> tasks_;
};

/// Runs each task on a thread of its own. Where these are too many, or the system has no more, a task waits for one of
/// them.
class thread_per_task_sink : public task_sink {
 public:
  static constexpr std::size_t most_threads = 64;

  ~thread_per_task_sink() override {
    for (;;) {  // a task may add tasks
      std::list<worker> old;
      {
        const std::lock_guard lock(mutex_);
        old.swap(workers_);
      }
      if (old.empty()) return;
      for (worker& one : old) one.thread.join();
    }
  }

  void execute(asioq::task work) override {
    const std::lock_guard lock(mutex_);
    std::erase_if(workers_, [](worker& one) {
      if (one.finished) one.thread.join();
      return one.finished;
    });
    if (workers_.size() < most_threads && start(work)) return;
    waiting_.push_back(work);
  }

 private:
  struct worker {
    std::thread thread;
    bool finished = false;  // set by the thread as its last act
  };

  /// False if there are no more threads to be had, but some are there; throws if none is.
  bool start(asioq::task work) {
    worker& fresh = workers_.emplace_back();
    try {
      fresh.thread = std::thread([this, work, &fresh] { run(work, fresh); });
      return true;
    } catch (const std::system_error&) {
      workers_.pop_back();
      if (workers_.empty()) throw;
      return false;
    }
  }

  void run(asioq::task work, worker& its) {
    for (;;) {
      work();
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) {
        its.finished = true;
        return;
      }
      work = waiting_.front();
      waiting_.pop_front();
    }
  }

  std::mutex mutex_;  // protects all below
  std::list<worker> workers_;
  std::deque<asioq::task> waiting_;  // empty unless a worker is unfinished
};

/// Three threads that take waiting tasks in random order and dawdle before they run them.
class reordering_sink : public task_sink {
 public:
  explicit reordering_sink(std::uint64_t seed) : random_(seed) {
    for (int i = 0; i < 3; ++i) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }

  void execute(asioq::task work) override {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(work);
    }
    wake_.notify_one();
  }

 private:
  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [this] { return !tasks_.empty(); })) {
      const std::size_t delay = random_() % 32;
      lock.unlock();
      for (std::size_t i = 0; i < delay; ++i) std::this_thread::yield();
      lock.lock();
      if (tasks_.empty()) continue;  // another thread was faster
      std::swap(tasks_[random_() % tasks_.size()], tasks_.back());
      const asioq::task next = tasks_.back();
      tasks_.pop_back();
      lock.unlock();
      next();
      lock.lock();
    }
  }

  std::mutex mutex_;  // protects random_ and tasks_
  std::condition_variable_any wake_;
  std::mt19937_64 random_;
  std::vector<asioq::task> tasks_;
  std::vector<std::jthread> threads_;  // the last member: the first to go, with what is left in tasks_
};

/// Thrown by a refusing_sink.
struct refusal : std::runtime_error {
  refusal() : std::runtime_error("no more tasks") {}
};

/// Passes tasks on to another sink, or refuses them by throwing.
class refusing_sink : public task_sink {
 public:
  explicit refusing_sink(task_sink& next) : next_(&next) {}

  void execute(asioq::task work) override {
    if (refusing.load()) throw refusal();
    next_->execute(work);
  }

  std::atomic<bool> refusing = false;  // any thread

 private:
  task_sink* next_;
};

/// Runs each task inside execute().
class immediate_sink : public task_sink {
 public:
  void execute(asioq::task work) override { work(); }
};

}  // namespace asioq_test
