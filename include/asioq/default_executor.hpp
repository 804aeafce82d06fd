#pragma once

/// @file
/// The executor of `asio_queue`: one pool for all queues of the program that name no other.

#include <asioq/executor.hpp>
#include <asioq/task.hpp>
#include <asioq/thread_pool.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

namespace asioq {

/// A share in the program's default pool.
///
/// The pool comes with the first `default_executor` that is constructed and goes, all its threads joined, with the last
/// copy; a later one makes a new pool. It has one thread per processor, at least 4 and at most 16, since they wait for
/// devices more than they compute. The last copy may go anywhere: in a task of the pool's own (see `~thread_pool`), and
/// in the destructor of a static object.
///
/// A process that `fork` has made has a default pool of its own. It must not use copies of its parent's executors.
class default_executor {
 public:
  /// Joins the pool's users, making the pool if there is none. Throws what making threads throws.
  default_executor() : pool_(share()) {}

  /// As `thread_pool::executor_type::execute`.
  void execute(task work) const { pool_->executor().execute(work); }

  bool operator==(const default_executor&) const = default;

 private:
  /// Where the copies in one process find their pool. Never destroyed, since objects destroyed late may still want one.
  struct meeting_point {
    const pid_t process;
    meeting_point* const inherited;  // from the parent process: not used, but kept within reach of leak checkers
    std::mutex mutex;                // protects pool
    std::weak_ptr<thread_pool> pool;
  };

  /// The one of this process. A child after `fork` makes a new one, because a thread that the child does not have may
  /// have held the mutex of the old.
  static meeting_point& here() {
    // Points to the meeting point of this process or of an ancestor, or is null before the first. Release, by the
    // thread that has made one, pairs with acquire, by the others that find it.
    static constinit std::atomic<meeting_point*> newest = nullptr;
    const pid_t process = ::getpid();
    meeting_point* found = newest.load(std::memory_order_acquire);
    if (found != nullptr && found->process == process) return *found;
    std::unique_ptr<meeting_point> made(new meeting_point{process, found, {}, {}});
    // On failure another thread of this process has been faster, and `found` becomes what it has made.
    if (!newest.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel, std::memory_order_acquire))
      return *found;
    return *made.release();
  }

  static std::shared_ptr<thread_pool> share() {
    meeting_point& its = here();
    const std::lock_guard lock(its.mutex);
    std::shared_ptr<thread_pool> pool = its.pool.lock();
    if (!pool) {
      pool = std::make_shared<thread_pool>(std::clamp(std::thread::hardware_concurrency(), 4U, 16U));
      its.pool = pool;
    }
    return pool;
  }

  std::shared_ptr<thread_pool> pool_;
};

static_assert(executor<default_executor>);

}  // namespace asioq
