#pragma once

/// @file
/// Threads that run the requests of any number of queues.

#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/support/signals.hpp>
#include <asioq/detail/support/spin.hpp>
#include <asioq/detail/support/task_ring.hpp>
#include <asioq/executor.hpp>
#include <asioq/task.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace asioq {

/// A fixed number of `std::jthread` workers that run tasks in the order in which they come.
///
/// A worker is busy for as long as the file operation it carries out. So the number of threads is the number of
/// operations that can be inside the kernel at the same time, of one queue or of several. One idle worker spins for 2
/// to 20 µs before it sleeps, and less where that seldom finds a task. The pool must outlive every queue that uses its
/// executor.
///
/// **Signals.** Workers block all signals but SIGPROF and those that a fault raises (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
/// SIGTRAP, SIGSYS, SIGABRT), so the program's own threads get the others. In a worker a write to a pipe without a
/// reader fails with EPIPE, and one beyond RLIMIT_FSIZE with EFBIG, and neither raises a signal. A blocking call of a
/// queue may carry out the same write on its own thread, where SIGPIPE and SIGXFSZ are raised unless the program blocks
/// or ignores them. A process that a task starts inherits the worker's mask.
///
/// **fork.** A child has none of the threads. It may destroy a pool of its parent's, which changes nothing, but not use
/// it.
class thread_pool {
  struct crew;

 public:
  /// What to give to a queue: a pointer, valid as long as the pool and, inside its tasks, until they end.
  class executor_type {
   public:
    /// Queues the task, and wakes a sleeping worker unless one that stands by will take it. Throws `std::bad_alloc`
    /// only when more tasks are waiting than ever before; the task has then not been taken.
    void execute(task work) const { crew_->push(work); }

    bool operator==(const executor_type&) const = default;

   private:
    friend class thread_pool;
    explicit executor_type(crew& workers) noexcept : crew_(&workers) {}
    crew* crew_;
  };

  /// Starts `threads` workers. Throws `std::invalid_argument` if that is 0, and what starting a thread throws
  /// (`std::system_error`); the workers started before are then joined.
  explicit thread_pool(std::size_t threads) : thread_pool() {
    // From here on the destructor runs if something is thrown.
    if (threads == 0) detail::refuse("asioq: a thread pool needs at least one thread");
    crew_->places = std::make_unique<crew::place[]>(threads);
    crew_->workers.reserve(threads);
    const detail::signals_blocked in_workers;
    while (crew_->workers.size() < threads)
      crew_->workers.emplace_back([its = crew_, &own = crew_->places[crew_->workers.size()]] { its->work(own); });
  }

  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  /// Runs all tasks the pool has accepted, and joins the workers.
  ///
  /// If one of the pool's own tasks destroys the pool, the destructor cannot wait for that task. The task's worker then
  /// runs what is left after the task, and ends by itself. The destructor joins all others. O(threads).
  ~thread_pool() {
    if (::getpid() != crew_->process) return;
    crew_->stop();
    for (std::jthread& worker : crew_->workers) {
      if (worker.get_id() == std::this_thread::get_id()) {
        worker.detach();
      } else {
        worker.join();
      }
    }
  }

  /// An executor that runs tasks on this pool.
  [[nodiscard]] executor_type executor() noexcept { return executor_type{*crew_}; }

  /// The number of workers.
  [[nodiscard]] std::size_t size() const noexcept { return crew_->workers.size(); }

 private:
  /// The workers and what they use. The pool and each worker have a share, so a worker can go on after the pool. In a
  /// forked child the workers never give their shares back, so nothing that seems to be in use there is destroyed.
  struct crew {
    /// Where a worker sleeps. It stays until all threads have left push(), even if the worker has ended.
    struct place {
      std::condition_variable wake;  ///< Waits for `is_woken`.
      bool is_woken = false;         ///< Set by the thread that wakes the worker, under the mutex.
      place* next = nullptr;         ///< In `asleep`.
    };

    using clock = std::chrono::steady_clock;
    static constexpr auto longest_stand_by = std::chrono::microseconds(25);

    crew() = default;
    crew(const crew&) = delete;
    crew& operator=(const crew&) = delete;

    /// Waits for threads that are still inside push(): a task may begin and destroy the pool before the thread that
    /// pushed it has left.
    ~crew() {
      const auto is_left = [this] {
        return pushed.load(std::memory_order_acquire) == to_push && woken.load(std::memory_order_acquire) == to_wake;
      };
      while (!is_left()) std::this_thread::yield();
    }

    void push(task work) {
      place* woken_place = nullptr;
      {
        const std::lock_guard lock(mutex);
        tasks.push(work);
        ++to_push;
        if (asleep != nullptr && !is_taken_care_of()) {
          woken_place = pop_asleep();
          ++to_wake;
        }
      }
      // Outside the lock: a worker that stands by would find it taken. Release: pairs with acquire in the destructor.
      pushed.fetch_add(1, std::memory_order_release);
      if (woken_place == nullptr) return;
      woken_place->wake.notify_one();
      woken.fetch_add(1, std::memory_order_release);
    }

    /// What a worker does until a stop is requested and no task is left, so every accepted task runs.
    void work(place& own) {
      std::unique_lock lock(mutex);
      for (;;) {
        if (tasks.empty() && !standing_by && !stopping) stand_by(lock);
        while (tasks.empty() && !stopping) {
          own.is_woken = false;
          own.next = std::exchange(asleep, &own);
          own.wake.wait(lock, [&] { return own.is_woken; });
        }
        if (tasks.empty()) return;
        const task next = tasks.pop();
        lock.unlock();
        next();
        lock.lock();
      }
    }

    /// One worker at a time spins for the next task before it sleeps. This spares the thread that pushes that task the
    /// wake-up, which costs more than a short transfer. The worker looks again under the lock.
    void stand_by(std::unique_lock<std::mutex>& lock) noexcept {
      standing_by = true;
      stands_by_until = clock::now() + longest_stand_by;
      const unsigned before = pushed.load(std::memory_order_relaxed);
      lock.unlock();
      spin.until([&] { return pushed.load(std::memory_order_relaxed) != before; });
      lock.lock();
      standing_by = false;
    }

    /// Whether the worker that stands by will take the only task. A worker that should have gone to sleep long ago has
    /// lost its processor, and may get it back only after milliseconds.
    [[nodiscard]] bool is_taken_care_of() const noexcept {
      return standing_by && tasks.size() == 1 && clock::now() < stands_by_until;
    }

    /// Asks all workers at once. A stop request for each would wake all the remaining ones each time.
    void stop() {
      const std::lock_guard lock(mutex);
      stopping = true;
      while (asleep != nullptr) pop_asleep()->wake.notify_one();
    }

    place* pop_asleep() noexcept {
      place* const last = std::exchange(asleep, asleep->next);
      last->is_woken = true;
      return last;
    }

    const pid_t process = ::getpid();  // the one that has the threads
    std::mutex mutex;                  // protects all down to to_wake
    detail::task_ring tasks;
    place* asleep = nullptr;            // the workers that sleep: the last one first, as its caches are the warmest
    bool standing_by = false;           // a worker is in stand_by(): it will look at tasks without being woken
    clock::time_point stands_by_until;  // if standing_by: when it gives up unless it is interrupted
    bool stopping = false;              // written once, by the destructor of the pool
    unsigned to_push = 0;               // what `pushed` will be when all threads have left push()
    unsigned to_wake = 0;               // what `woken` will be then
    detail::adaptive_spin spin;         // of the worker that stands by
    /// Changes soon after each push, written by the pushing threads: a hint for the worker that stands by, under which
    /// nothing is read, hence it loads relaxed. To the destructor it says how many have pushed.
    alignas(64) std::atomic<unsigned> pushed = 0;
    std::atomic<unsigned> woken = 0;    // wake-ups that are through; written by the pushing threads
    std::unique_ptr<place[]> places;    // one for each worker
    std::vector<std::jthread> workers;  // for the pool's constructor and destructor, constant between them
  };

  thread_pool() : crew_(std::make_shared<crew>()) {}

  const std::shared_ptr<crew> crew_;
};

static_assert(executor<thread_pool::executor_type>);

}  // namespace asioq
