#pragma once

/// @file
/// The executor without threads.

#include <asioq/executor.hpp>

namespace asioq {

/// Runs each task at once, inside `execute`: `submit` returns when the request has finished.
///
/// For tests, for debugging, and for programs that must not have threads. Nothing is asynchronous, but everything else
/// about a queue stays as it is.
struct inline_executor {
  /// Calls `work()`.
  void execute(task work) const noexcept { work(); }

  bool operator==(const inline_executor&) const = default;
};

static_assert(executor<inline_executor>);

}  // namespace asioq
