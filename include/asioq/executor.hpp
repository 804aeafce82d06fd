#pragma once

/// @file
/// The concept of what runs a queue's tasks.

#include <asioq/task.hpp>

#include <concepts>

namespace asioq {

/// Something that runs tasks: a cheap, copyable, equality-comparable handle to threads, an event loop, or nothing at
/// all.
///
/// `execute(t)` arranges that `t()` is called exactly once, on any thread, inside the call or later. Tasks of different
/// queues may be called at the same time; the executor owes them no order, the queue makes its own. An `execute` that
/// throws must not have taken the task: `submit` then throws the same exception and the caller keeps the request.
///
/// `execute` must not wait for another task. A queue calls it from its owner's thread or from inside one of its tasks,
/// usually not for each request: one task serves whatever has been submitted by the time it runs. Inside a task it may
/// run the new task at once, but should not run those of other queues, for which the first queue would have to wait.
template <class T>
concept executor = std::copy_constructible<T> && std::equality_comparable<T> &&
                   requires(const T& target, task work) { target.execute(work); };

}  // namespace asioq
