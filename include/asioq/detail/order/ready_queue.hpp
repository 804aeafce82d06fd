#pragma once

#include <asioq/detail/order/waiting_list.hpp>
#include <asioq/detail/request/record.hpp>

#include <cstddef>
#include <utility>

namespace asioq::detail {

/// Requests that may start, the oldest first: O(1) for those that came ready, which come in order, O(log n) for those
/// that had been blocked, which do not and are in a leftist heap (Crane, 1972). Nothing is allocated.
class ready_queue {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Adds a request younger than all others.
  void push_youngest(request_record& record) noexcept {
    append(in_order_, record);
    ++size_;
  }

  /// Adds a request of any age.
  void push(request_record& record) noexcept {
    record.before = record.behind = nullptr;
    record.rank = 1;
    heap_ = merge(heap_, &record);
    ++size_;
  }

  /// The oldest; there must be one.
  [[nodiscard]] request_record& front() const noexcept { return oldest_is_in_order() ? *in_order_.first : *heap_; }

  /// Removes and returns the oldest; there must be one.
  request_record& pop() noexcept {
    --size_;
    if (oldest_is_in_order()) {
      request_record& oldest = *in_order_.first;
      leave_list(oldest);
      return oldest;
    }
    return *std::exchange(heap_, merge(heap_->before, heap_->behind));
  }

  /// Removes the youngest again if it was added as such; returns whether it was.
  bool withdraw(request_record& record) noexcept {
    if (record.waits_in != &in_order_) return false;
    leave_list(record);
    --size_;
    return true;
  }

 private:
  [[nodiscard]] bool oldest_is_in_order() const noexcept {
    return heap_ == nullptr || (in_order_.first != nullptr && in_order_.first->sequence < heap_->sequence);
  }

  static unsigned rank(const request_record* heap) noexcept { return heap == nullptr ? 0 : heap->rank; }

  /// In the heap, `before` and `behind` are the children; the way down along `behind` is short: at most log2(n + 1).
  static request_record* merge(request_record* first, request_record* second) noexcept {
    if (first == nullptr) return second;
    if (second == nullptr) return first;
    if (second->sequence < first->sequence) std::swap(first, second);
    first->behind = merge(first->behind, second);
    if (rank(first->before) < rank(first->behind)) std::swap(first->before, first->behind);
    first->rank = rank(first->behind) + 1;
    return first;
  }

  waiting_list in_order_;
  request_record* heap_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace asioq::detail
