#pragma once

#include <cassert>
#include <coroutine>
#include <exception>
#include <utility>

namespace asioq::detail {

class waiter;

/// A call of a stream that a coroutine is suspended in. It is in the coroutine's frame.
class suspended_call {
 public:
  suspended_call(const suspended_call&) = delete;
  suspended_call& operator=(const suspended_call&) = delete;

 protected:
  suspended_call() = default;
  ~suspended_call();

  /// Registers with the stream, until the call is at its end or the frame is destroyed.
  void suspend(waiter& place, std::coroutine_handle<> waiting) noexcept;

 private:
  friend class waiter;

  /// Goes on with the call. Returns whether it is at its end.
  virtual bool goes_on() noexcept = 0;

  waiter* place_ = nullptr;  // null unless it is registered
  std::coroutine_handle<> waiting_;
};

/// Where a stream keeps the call that waits for it: at most one at a time. Everything is for the owner of the queue.
class waiter {
 public:
  waiter() = default;
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;
  /// A coroutine that still waits is never resumed.
  ~waiter() {
    if (call_ != nullptr) call_->place_ = nullptr;
  }

  [[nodiscard]] bool is_taken() const noexcept { return call_ != nullptr; }

  /// Has the waiting call go on, if there is one, and resumes its coroutine if it is at its end. The last thing that
  /// `finished` of a stream does: the coroutine may destroy the stream.
  void go_on() noexcept {
    if (call_ == nullptr || !call_->goes_on()) return;
    suspended_call& its = *std::exchange(call_, nullptr);
    its.place_ = nullptr;
    its.waiting_.resume();
  }

 private:
  friend class suspended_call;
  suspended_call* call_ = nullptr;
};

inline suspended_call::~suspended_call() {
  if (place_ != nullptr) place_->call_ = nullptr;
}

inline void suspended_call::suspend(waiter& place, std::coroutine_handle<> waiting) noexcept {
  assert(place.call_ == nullptr && "two calls of a stream wait at the same time");
  place_ = &place;
  place.call_ = this;
  waiting_ = waiting;
}

// A call of a stream is an object with two members. `goes_on()` does what can be done without waiting, and returns
// whether the call is at its end; it may throw, and the call is at its end then, too. `result()` is what the call
// returns. A call that returns false has a request of its stream with the queue, or the blocking form can get none
// before another part of the program gives one back.

/// The blocking form of a call: delivers until the call is at its end. Throws what the call and `run_one` throw.
template <class Queue, class Call>
decltype(auto) run_call(Queue& queue, Call call) {
  while (!call.goes_on()) {
    if (queue.run_one() != 0) continue;
    // Nothing more will be delivered, so the call can only want a request. This throws if there is none to be had.
    static_cast<void>(queue.get());
  }
  return call.result();
}

/// The awaitable form of a call. Ready at once if the call need not wait. Else the stream resumes the coroutine inside
/// a delivery. Allocates nothing. The frame may be destroyed while it is suspended: the call ends where it is.
template <class Call>
class [[nodiscard]] awaitable_call final : private suspended_call {
 public:
  awaitable_call(waiter& place, Call call) : place_(place), call_(std::move(call)) {}

  /// For `co_await`, like the next two members.
  [[nodiscard]] bool await_ready() { return call_.goes_on(); }
  void await_suspend(std::coroutine_handle<> waiting) noexcept { suspend(place_, waiting); }
  [[nodiscard]] decltype(auto) await_resume() {
    if (thrown_) std::rethrow_exception(thrown_);
    return call_.result();
  }

 private:
  bool goes_on() noexcept override {
    try {
      return call_.goes_on();
    } catch (...) {
      thrown_ = std::current_exception();
      return true;
    }
  }

  waiter& place_;  // not used after the coroutine was resumed
  Call call_;
  std::exception_ptr thrown_;
};

}  // namespace asioq::detail
