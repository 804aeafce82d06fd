// What the queues of the explorer run on: fibers, which do with tasks whatever an executor may do.
#pragma once

#include <asioq/task.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "fibers.hpp"

namespace asioq_explorer {

/// How tasks are run.
enum class manner {
  workers,         ///< By any worker, in any order.
  at_once,         ///< Inside `execute`.
  at_once_inside,  ///< Inside `execute` if that is called by a task, else by a worker.
  any_inside,      ///< By a worker, which may be inside `execute` and then runs any that are there.
  mixed,           ///< Sometimes inside `execute`.
  starving,        ///< By a worker, but none begins while the owner sleeps.
  stuck            ///< Not before the queue is gone.
};

/// What an executor throws that refuses a task.
struct refusal : std::runtime_error {
  refusal() : std::runtime_error("refused") {}
};

/// The tasks on their way and what becomes of them.
struct task_pool {
  manner how = manner::workers;
  bool refuses = false;  // now and then
  bool has_refused_owner = false;
  bool is_late = false;  // now and then keeps a task until the queue is gone
  std::vector<asioq::task> tasks;
  std::vector<asioq::task> late_tasks;
  bool is_slow = false;                    // a worker's call of execute() lasts as long as the owner sleeps
  std::function<bool()> is_finished;       // or until this holds
  std::map<std::string_view, int> depths;  // for each thread, tasks that run inside of each other
  bool has_lost_its_queue = false;         // execute() must not be called any more
  bool is_closing = false;                 // workers end when they have run all

  void run(std::vector<asioq::task>& from) {
    const auto place = from.begin() + static_cast<std::ptrdiff_t>(schedule::choose(from.size()));
    const asioq::task next = *place;
    from.erase(place);
    run_here(next);
  }

  /// A task that finds itself inside of another one of its queue has to leave, else the stack would overflow.
  void run_here(asioq::task next) {
    int& depth = depths[schedule::name()];
    if (++depth > 2) schedule::found("%d tasks inside of each other", depth);
    next();
    --depth;
  }

  [[nodiscard]] bool may_return() const { return !is_slow || !schedule::sleeps("owner") || is_finished(); }

  /// What a worker does.
  void work() {
    for (;;) {
      schedule::wait("a task", [](const void* pool) { return static_cast<const task_pool*>(pool)->can_begin(); }, this);
      if (!tasks.empty())
        run(tasks);
      else if (!late_tasks.empty())
        run(late_tasks);
      else
        return;
    }
  }

  [[nodiscard]] bool can_begin() const {
    return is_closing ||
           (!tasks.empty() && how != manner::stuck && !(how == manner::starving && schedule::sleeps("owner")));
  }
};

/// The handle of it.
class explored_executor {
 public:
  explicit explored_executor(task_pool& pool) noexcept : pool_(&pool) {}
  explored_executor(const explored_executor& other) noexcept = default;
  explored_executor& operator=(const explored_executor& other) noexcept = default;
  ~explored_executor() { life_ = 0; }

  void execute(asioq::task work) const {
    schedule::point("execute");
    if (life_ != alive || pool_->has_lost_its_queue) schedule::found("an executor is used after its queue");
    const bool is_inside = std::string_view(schedule::name()).starts_with("worker");
    if (pool_->refuses && schedule::choose(3) == 0) {
      if (!is_inside) pool_->has_refused_owner = true;
      throw refusal();
    }
    const bool at_once = pool_->how == manner::at_once || (pool_->how == manner::at_once_inside && is_inside) ||
                         (pool_->how == manner::mixed && schedule::choose(2) == 0);
    if (at_once)
      pool_->run_here(work);
    else if (pool_->is_late && schedule::choose(3) == 0)
      pool_->late_tasks.push_back(work);
    else
      pool_->tasks.push_back(work);
    schedule::point("executed");
    while (pool_->how == manner::any_inside && is_inside && !pool_->tasks.empty() && schedule::choose(2) == 0) {
      pool_->run(pool_->tasks);
      schedule::point("executed inside");
    }
    if (is_inside)
      schedule::wait(
          "execute lasts", [](const void* pool) { return static_cast<const task_pool*>(pool)->may_return(); }, pool_);
    if (life_ != alive || pool_->has_lost_its_queue) schedule::found("an executor has gone before it has returned");
  }

  bool operator==(const explored_executor& other) const noexcept { return pool_ == other.pool_; }

 private:
  static constexpr std::uint64_t alive = 0x616c697665U;
  task_pool* pool_;
  volatile std::uint64_t life_ = alive;  // volatile: what the destructor stores is read all the same
};

}  // namespace asioq_explorer
