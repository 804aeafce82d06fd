#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace asioq::detail {

// A call of a stream is an object with three members. `goes_on()` does what can be done without waiting, and returns
// whether the call is at its end. If it throws, the call is at its end, too. After `goes_on()` has returned false,
// `check_that_it_will()` throws if the stream has nothing with the queue that could let the call go on. `result()` is
// what the call returns. A call may also have `has_to_go_on()`, which removes what it waits for when nothing else is
// left to wait for, such as a reservation that has yet to be committed. And a call may have `let_others_go_on()`, for
// when its end also ends the other calls that wait, and nothing else would tell them.

/// The blocking form of a call that is not at its end: delivers until it is. Throws what the call and `run_one` throw.
template <class Queue, class Call>
[[gnu::noinline]] void wait_for(Queue& queue, Call& call) {
  do {
    if (queue.run_one() != 0) continue;
    // Nothing more will be delivered, so the call can only be waiting for a request. This throws if there is none.
    static_cast<void>(queue.get());
    if constexpr (requires { call.has_to_go_on(); }) call.has_to_go_on();
  } while (!call.goes_on());
}

class waiting_calls;

/// A call of a stream in which a coroutine is suspended. The object is in the coroutine's frame.
class waiting_call {
 public:
  waiting_call(const waiting_call&) = delete;
  waiting_call& operator=(const waiting_call&) = delete;

 protected:
  waiting_call() = default;
  inline ~waiting_call();

  inline void suspend(waiting_calls& list, std::coroutine_handle<> waiting) noexcept;

 private:
  friend class waiting_calls;

  /// Goes on with the call. Returns whether it is at its end.
  virtual bool goes_on() noexcept = 0;

  waiting_calls* list_ = nullptr;  // null unless it is in one
  waiting_call* before_ = nullptr;
  waiting_call* behind_ = nullptr;
  std::coroutine_handle<> waiting_;
};

/// The calls that wait for a stream, the oldest first. All of it is for the owner of the queue.
class waiting_calls {
 public:
  waiting_calls() = default;
  waiting_calls(const waiting_calls&) = delete;
  waiting_calls& operator=(const waiting_calls&) = delete;
  /// Coroutines that still wait are never resumed.
  ~waiting_calls() {
    while (first_ != nullptr) remove(*first_);
  }

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  /// Lets each call go on, and resumes the coroutines of those that are at their end, until `stops()` returns true. A
  /// resumed coroutine may suspend in another call, and destroy others.
  template <class Stops>
  void go_on(Stops stops) noexcept {
    for (waiting_call* its = first_; its != nullptr && !stops();) {
      if (!its->goes_on()) {
        its = its->behind_;
        continue;
      }
      remove(*its);
      its->waiting_.resume();
      its = first_;
    }
  }

  /// The same for the oldest call alone. The coroutine may destroy this list, which is not used afterwards.
  void go_on() noexcept {
    if (first_ == nullptr || !first_->goes_on()) return;
    waiting_call& its = *first_;
    remove(its);
    its.waiting_.resume();
  }

 private:
  friend class waiting_call;

  void add(waiting_call& call) noexcept {
    call.list_ = this;
    call.before_ = last_;
    call.behind_ = nullptr;
    (last_ == nullptr ? first_ : last_->behind_) = &call;
    last_ = &call;
  }

  void remove(waiting_call& call) noexcept {
    (call.before_ == nullptr ? first_ : call.before_->behind_) = call.behind_;
    (call.behind_ == nullptr ? last_ : call.behind_->before_) = call.before_;
    call.list_ = nullptr;
  }

  waiting_call* first_ = nullptr;
  waiting_call* last_ = nullptr;
};

inline waiting_call::~waiting_call() {
  if (list_ != nullptr) list_->remove(*this);
}

inline void waiting_call::suspend(waiting_calls& list, std::coroutine_handle<> waiting) noexcept {
  waiting_ = waiting;
  list.add(*this);
}

/// The awaitable form of a call. It is ready at once if the call need not wait. Otherwise the stream resumes the
/// coroutine inside a delivery. It allocates nothing. The frame may be destroyed while it is suspended.
template <class Call>
class [[nodiscard]] awaitable_call final : private waiting_call {
 public:
  template <class... Arguments>
  explicit awaitable_call(waiting_calls& list, Arguments&&... arguments)
      : list_(list), call_(std::forward<Arguments>(arguments)...) {}

  /// For `co_await`, like the next two members.
  [[nodiscard]] bool await_ready() { return !lets_others_go_on && goes_on_or_throws(); }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    suspend(list_, waiting);
    // It is suspended here even if it need not wait, since the others may destroy it. It may be gone afterwards.
    if constexpr (lets_others_go_on) call_.let_others_go_on();
  }
  decltype(auto) await_resume() {
    if (thrown_) std::rethrow_exception(thrown_);
    return call_.result();
  }

 private:
  static constexpr bool lets_others_go_on = requires(Call its) { its.let_others_go_on(); };

  bool goes_on_or_throws() {
    if (call_.goes_on()) return true;
    call_.check_that_it_will();
    return false;
  }

  bool goes_on() noexcept override {
    try {
      return goes_on_or_throws();
    } catch (...) {
      thrown_ = std::current_exception();
      return true;
    }
  }

  waiting_calls& list_;  // not used after the coroutine was resumed
  Call call_;
  std::exception_ptr thrown_;
};

}  // namespace asioq::detail
