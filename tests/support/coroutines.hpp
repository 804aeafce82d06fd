// Two types of coroutines, as small as a program's own.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace asioq_test {

/// A coroutine that begins at once and that its object owns: with the object the frame goes, also while it is
/// suspended.
class owned_task {
 public:
  struct promise_type {
    owned_task get_return_object() noexcept {
      return owned_task{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { thrown = std::current_exception(); }
    std::exception_ptr thrown;
  };

  owned_task(owned_task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  owned_task& operator=(owned_task&& other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~owned_task() { destroy(); }

  void destroy() noexcept {
    if (frame_) std::exchange(frame_, nullptr).destroy();
  }
  [[nodiscard]] bool is_done() const noexcept { return frame_.done(); }
  /// Throws what the coroutine has thrown, if it has.
  void rethrow() const {
    if (frame_.promise().thrown) std::rethrow_exception(frame_.promise().thrown);
  }

 private:
  explicit owned_task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  std::coroutine_handle<promise_type> frame_;
};

/// A coroutine that begins at once, and whose frame goes when it ends.
struct fire_and_forget {
  struct promise_type {
    fire_and_forget get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

}  // namespace asioq_test
