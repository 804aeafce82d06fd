#pragma once

/// @file
/// The executor of `asio_queue`: one pool for all queues of the program that name no other.

#include <asioq/thread_pool.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <thread>

namespace asioq {

/// A share in the program's default pool.
///
/// The pool comes with the first `default_executor` that is constructed and goes, all its threads joined, with the last
/// copy; a later one makes a new pool. It has one thread per processor, at least 4 and at most 16: they wait for
/// devices more than they compute.
class default_executor {
 public:
  /// Joins the pool's users, making the pool if there is none. Throws what making threads throws.
  default_executor() : pool_(share()) {}

  /// As `thread_pool::executor_type::execute`.
  void execute(task work) const { pool_->executor().execute(work); }

  bool operator==(const default_executor&) const = default;

 private:
  static std::shared_ptr<thread_pool> share() {
    static std::mutex mutex;  // protects existing
    static std::weak_ptr<thread_pool> existing;
    const std::lock_guard lock(mutex);
    std::shared_ptr<thread_pool> pool = existing.lock();
    if (!pool) {
      pool = std::make_shared<thread_pool>(std::clamp(std::thread::hardware_concurrency(), 4U, 16U));
      existing = pool;
    }
    return pool;
  }

  std::shared_ptr<thread_pool> pool_;
};

static_assert(executor<default_executor>);

}  // namespace asioq
