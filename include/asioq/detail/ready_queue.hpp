#pragma once

#include <asioq/detail/request_block.hpp>
#include <asioq/detail/waiting_list.hpp>

#include <cstddef>
#include <utility>

namespace asioq::detail {

/// Requests that may start, the oldest first: O(1) for those that came ready, which come in order, O(log n) for those
/// that had been blocked, which do not and are in a leftist heap (Crane, 1972). Nothing is allocated.
class ready_queue {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Adds a request younger than all others.
  void push_youngest(request_block& block) noexcept {
    append(in_order_, block);
    ++size_;
  }

  /// Adds a request of any age.
  void push(request_block& block) noexcept {
    block.before = block.behind = nullptr;
    block.rank = 1;
    heap_ = merge(heap_, &block);
    ++size_;
  }

  /// The oldest; there must be one.
  [[nodiscard]] request_block& front() const noexcept { return oldest_is_in_order() ? *in_order_.first : *heap_; }

  /// Removes and returns the oldest; there must be one.
  request_block& pop() noexcept {
    --size_;
    if (oldest_is_in_order()) {
      request_block& oldest = *in_order_.first;
      leave_list(oldest);
      return oldest;
    }
    return *std::exchange(heap_, merge(heap_->before, heap_->behind));
  }

  /// Removes the youngest again if it was added as such; returns whether it was.
  bool withdraw(request_block& block) noexcept {
    if (block.waits_in != &in_order_) return false;
    leave_list(block);
    --size_;
    return true;
  }

 private:
  [[nodiscard]] bool oldest_is_in_order() const noexcept {
    return heap_ == nullptr || (in_order_.first != nullptr && in_order_.first->sequence < heap_->sequence);
  }

  static unsigned rank(const request_block* heap) noexcept { return heap == nullptr ? 0 : heap->rank; }

  /// In the heap, `before` and `behind` are the children; the way down along `behind` is short: at most log2(n + 1).
  static request_block* merge(request_block* first, request_block* second) noexcept {
    if (first == nullptr) return second;
    if (second == nullptr) return first;
    if (second->sequence < first->sequence) std::swap(first, second);
    first->behind = merge(first->behind, second);
    if (rank(first->before) < rank(first->behind)) std::swap(first->before, first->behind);
    first->rank = rank(first->behind) + 1;
    return first;
  }

  waiting_list in_order_;
  request_block* heap_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace asioq::detail
