#pragma once

/// @file
/// The unit of work that a queue gives to its executor.

#include <type_traits>

namespace asioq {

/// A piece of work to be called exactly once: two words, trivially copyable, so an executor can keep it anywhere.
///
/// Calling it never throws and may block for as long as file operations take. It may be called on any thread, at any
/// time, even after the queue it came from is gone (it then does nothing); one that is never called leaks a little
/// memory.
class task {
 public:
  /// The work is `function(context)`.
  constexpr task(void (*function)(void*) noexcept, void* context) noexcept : function_(function), context_(context) {}

  /// Does the work.
  void operator()() const noexcept { function_(context_); }

 private:
  void (*function_)(void*) noexcept;
  void* context_;
};

static_assert(std::is_trivially_copyable_v<task> && sizeof(task) == 2 * sizeof(void*));

}  // namespace asioq
