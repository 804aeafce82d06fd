#pragma once

#include <atomic>
#include <cassert>

namespace asioq::detail {

/// True while a thread is inside a member of the queue. That thread writes it. Relaxed: it orders nothing and only
/// detects misuse.
using single_user_flag = std::atomic<bool>;

/// Asserts that a queue is used by one thread at a time.
class checked_single_user {
 public:
  explicit checked_single_user(single_user_flag& in_use) noexcept : in_use_(in_use) {
    [[maybe_unused]] const bool was_in_use = in_use_.exchange(true, std::memory_order_relaxed);
    assert(!was_in_use && "an asioq queue is used by two threads at the same time");
  }
  checked_single_user(const checked_single_user&) = delete;
  checked_single_user& operator=(const checked_single_user&) = delete;
  ~checked_single_user() { pause(); }

  /// Between these two the thread is not inside a member.
  void pause() noexcept { in_use_.store(false, std::memory_order_relaxed); }
  void resume() noexcept { in_use_.store(true, std::memory_order_relaxed); }

 private:
  single_user_flag& in_use_;
};

/// Asserts nothing.
class unchecked_single_user {
 public:
  explicit unchecked_single_user(single_user_flag& /*in_use*/) noexcept {}
  unchecked_single_user(const unchecked_single_user&) = delete;
  unchecked_single_user& operator=(const unchecked_single_user&) = delete;
  ~unchecked_single_user() = default;

  void pause() noexcept {}
  void resume() noexcept {}
};

// These are two classes, not one with two bodies. Where units with and without NDEBUG share a function, the linker
// keeps either version, and each version has to find the constructor and destructor that it was compiled for.
#ifdef NDEBUG
using single_user = unchecked_single_user;
#else
using single_user = checked_single_user;
#endif

}  // namespace asioq::detail
