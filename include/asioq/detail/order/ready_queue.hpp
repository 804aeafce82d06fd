#pragma once

#include <asioq/detail/order/waiting_list.hpp>
#include <asioq/detail/request/record.hpp>

#include <cstddef>
#include <utility>

namespace asioq::detail {

/// Requests that may start, the oldest first. Those that were never blocked come in order and cost O(1). Those that
/// were blocked come in any order, are in a leftist heap (Crane, 1972), and cost O(log n). Nothing is allocated.
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

  /// Removes the youngest request if `push_youngest` added it. Returns whether it did.
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

  /// In the heap, `before` and `behind` are the children. The path along `behind` has at most log2(n + 1) nodes.
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
