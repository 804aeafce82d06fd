#pragma once

#include <asioq/task.hpp>

#include <concepts>

namespace asioq::detail {

/// A reference to an executor of any type. Does not own it.
class executor_reference {
 public:
  template <class Executor>
    requires(!std::same_as<Executor, executor_reference>)
  explicit executor_reference(const Executor& target) noexcept
      : target_(&target),
        execute_([](const void* its, task work) { static_cast<const Executor*>(its)->execute(work); }) {}

  void execute(task work) const { execute_(target_, work); }

 private:
  const void* target_;
  void (*execute_)(const void* target, task work);
};

}  // namespace asioq::detail
