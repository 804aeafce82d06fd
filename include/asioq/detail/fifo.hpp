#pragma once

#include <asioq/detail/request_block.hpp>

namespace asioq::detail {

/// A FIFO of requests linked by one of their members; nothing is allocated, no operation fails.
template <request_block* request_block::* Link>
class block_fifo {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] bool has_one() const noexcept { return head_ != nullptr && head_ == tail_; }
  /// The oldest; null if there is none.
  [[nodiscard]] request_block* front() const noexcept { return head_; }
  /// The youngest; there must be one.
  [[nodiscard]] request_block& back() const noexcept { return *tail_; }

  void push_back(request_block& block) noexcept {
    block.*Link = nullptr;
    (head_ == nullptr ? head_ : tail_->*Link) = &block;
    tail_ = &block;
  }

  void push_front(request_block& block) noexcept {
    if (head_ == nullptr) tail_ = &block;
    block.*Link = head_;
    head_ = &block;
  }

  request_block& pop_front() noexcept {
    request_block& block = *head_;
    head_ = block.*Link;
    return block;
  }

  /// Removes the youngest, which is `block`: O(n).
  void pop_back(const request_block& block) noexcept {
    if (head_ == &block) {
      head_ = nullptr;
      return;
    }
    for (tail_ = head_; tail_->*Link != &block;) tail_ = tail_->*Link;
    tail_->*Link = nullptr;
  }

 private:
  request_block* head_ = nullptr;
  request_block* tail_ = nullptr;  // meaningful only if not empty
};

}  // namespace asioq::detail
