#pragma once

/// @file
/// What a coroutine awaits to submit a request and get it back.

#include <asioq/completion.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/request.hpp>

#include <atomic>
#include <coroutine>
#include <optional>
#include <stop_token>
#include <utility>

namespace asioq {

/// What `async_submit` of a queue returns. `co_await` it at once: that submits the request, and gives back the handle
/// when the request has finished.
///
/// It is for any type of coroutine, allocates nothing and starts no thread. The queue resumes the coroutine on its
/// owner's thread, inside a call that delivers (see `completion`). Until it suspends again, the coroutine may call what
/// `finished` may.
///
/// **Errors.** If submitting throws, `co_await` throws that, and the caller keeps the request. How the operation itself
/// went is in the handle that `co_await` returns.
///
/// **Lifetime.** A suspended coroutine may be destroyed, on the owner's thread. Its request goes on, and recycles
/// itself when it has finished. So the descriptor must stay open, and must not be one that the frame closes. If the
/// request fails in a way that may lose data, the queue calls `queue_options::on_lost_failure` with it, or prints a
/// message.
///
/// The queue's destructor resumes the coroutines that still wait. What their frames use must outlive the queue. In
/// these coroutines `async_submit` throws as `submit` does.
///
/// **Stopping.** If the token given to `async_submit` is asked to stop, on any thread, before the operation has begun,
/// the request comes back in its turn, with `std::errc::operation_canceled` and its data. An operation that has begun
/// goes on. Either way the request comes back.
template <class Queue>
class [[nodiscard]] async_submission final : public completion {
 public:
  async_submission(const async_submission&) = delete;
  async_submission& operator=(const async_submission&) = delete;
  ~async_submission() {
    on_stop_.reset();
    if (record_ != nullptr) record_->receiver = nullptr;
  }

  /// For `co_await`, like the next two members. Always false.
  [[nodiscard]] bool await_ready() const noexcept { return false; }

  /// Submits the request. Throws as `submit`.
  void await_suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    record_ = request_.record_;
    try {
      if (record_ != nullptr && stop_.stop_possible()) on_stop_.emplace(stop_, canceller{record_});
      queue_.submit(std::move(request_), *this);
    } catch (...) {
      settle();
      throw;
    }
  }

  /// The request, which has finished.
  [[nodiscard]] asio_request await_resume() noexcept { return std::move(result_); }

  /// For the queue: resumes the coroutine.
  void finished(asio_request request) noexcept override {
    settle();
    result_ = std::move(request);
    waiting_.resume();
  }

 private:
  friend Queue;

  struct canceller {
    detail::request_record* record;
    void operator()() const noexcept { record->cancel(); }
  };

  async_submission(Queue& queue, asio_request& request, std::stop_token stop) noexcept
      : queue_(queue), request_(request), stop_(std::move(stop)) {}

  /// The request is with the caller, or about to be.
  void settle() noexcept {
    on_stop_.reset();  // after this no thread cancels it; blocks while one does
    if (detail::request_record* const record = std::exchange(record_, nullptr))
      record->is_cancelled.store(false, std::memory_order_relaxed);
  }

  Queue& queue_;
  asio_request& request_;  // the caller's; not used after the submission
  std::stop_token stop_;
  std::optional<std::stop_callback<canceller>> on_stop_;
  std::coroutine_handle<> waiting_;
  detail::request_record* record_ = nullptr;  // from submission until it has finished
  asio_request result_;
};

}  // namespace asioq
