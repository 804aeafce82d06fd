#pragma once

#include <atomic>
#include <cassert>

namespace asioq::detail {

/// Asserts that a queue is used by one thread at a time; without assertions, nothing.
class single_user {
 public:
  /// True while some thread is inside a member of the queue. Relaxed: it orders nothing, it only catches misuse.
  using flag = std::atomic<bool>;

#ifdef NDEBUG
  explicit single_user(flag&) noexcept {}
#else
  explicit single_user(flag& in_use) noexcept : in_use_(in_use) {
    [[maybe_unused]] const bool was_in_use = in_use_.exchange(true, std::memory_order_relaxed);
    assert(!was_in_use && "an asioq queue is used by two threads at the same time");
  }
  ~single_user() { in_use_.store(false, std::memory_order_relaxed); }
#endif

  single_user(const single_user&) = delete;
  single_user& operator=(const single_user&) = delete;

#ifndef NDEBUG
 private:
  flag& in_use_;
#endif
};

}  // namespace asioq::detail
