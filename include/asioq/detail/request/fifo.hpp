#pragma once

#include <asioq/detail/request/record.hpp>

namespace asioq::detail {

/// A FIFO of requests linked by one of their members. Nothing is allocated, and no operation fails.
template <auto Link>
class record_fifo {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  /// The oldest; null if there is none.
  [[nodiscard]] request_record* front() const noexcept { return head_; }
  /// The youngest; there must be one.
  [[nodiscard]] request_record& back() const noexcept { return *tail_; }

  void push_back(request_record& record) noexcept {
    record.*Link = nullptr;
    (head_ == nullptr ? head_ : tail_->*Link) = &record;
    tail_ = &record;
  }

  void push_front(request_record& record) noexcept {
    if (head_ == nullptr) tail_ = &record;
    record.*Link = head_;
    head_ = &record;
  }

  request_record& pop_front() noexcept {
    request_record& record = *head_;
    head_ = record.*Link;
    return record;
  }

  /// Removes the youngest, which was added after `before`. If that is no longer here, the youngest is the only one.
  void pop_back(const request_record& youngest, request_record* before) noexcept {
    if (head_ == &youngest) {
      head_ = nullptr;
      return;
    }
    before->*Link = nullptr;
    tail_ = before;
  }

 private:
  request_record* head_ = nullptr;
  request_record* tail_ = nullptr;  // meaningful only if not empty
};

}  // namespace asioq::detail
