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
/// A queue calls `execute` from its owner's thread or from inside one of its tasks, usually not for each request: one
/// task serves whatever has been submitted by the time it runs. Before it returns, `execute` may run the new task and
/// others, of any queue. Some executors do that when they are full. A call of the owner then takes as long as those
/// tasks. A task that calls `execute` has none of its queue's requests in hand, so only the queue's destructor waits
/// for that call.
template <class T>
concept executor = std::copy_constructible<T> && std::equality_comparable<T> &&
                   requires(const T& target, task work) { target.execute(work); };

}  // namespace asioq
