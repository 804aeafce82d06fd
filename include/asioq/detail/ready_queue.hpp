#pragma once

#include <asioq/detail/request_block.hpp>

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
    in_order_.push_back(block);
    ++size_;
  }

  /// Adds a request of any age.
  void push(request_block& block) noexcept {
    block.order.before = block.order.behind = nullptr;
    block.order.rank = 1;
    heap_ = merge(heap_, &block);
    ++size_;
  }

  /// The oldest; there must be one.
  [[nodiscard]] request_block& front() const noexcept { return oldest_is_in_order() ? *in_order_.front() : *heap_; }

  /// Removes and returns the oldest; there must be one.
  request_block& pop() noexcept {
    --size_;
    if (oldest_is_in_order()) {
      request_block& oldest = *in_order_.front();
      in_order_.remove(oldest);
      return oldest;
    }
    return *std::exchange(heap_, merge(heap_->order.before, heap_->order.behind));
  }

  /// Removes the youngest again if it was added as such; returns whether it was.
  bool withdraw(request_block& block) noexcept {
    if (block.order.waits_in != &in_order_) return false;
    in_order_.remove(block);
    --size_;
    return true;
  }

 private:
  [[nodiscard]] bool oldest_is_in_order() const noexcept {
    return heap_ == nullptr || (!in_order_.empty() && in_order_.front()->sequence < heap_->sequence);
  }

  static unsigned rank(const request_block* heap) noexcept { return heap == nullptr ? 0 : heap->order.rank; }

  /// In the heap, `before` and `behind` are the children; the way down along `behind` is short: at most log2(n + 1).
  static request_block* merge(request_block* first, request_block* second) noexcept {
    if (first == nullptr) return second;
    if (second == nullptr) return first;
    if (second->sequence < first->sequence) std::swap(first, second);
    ordering_part& top = first->order;
    top.behind = merge(top.behind, second);
    if (rank(top.before) < rank(top.behind)) std::swap(top.before, top.behind);
    top.rank = rank(top.behind) + 1;
    return first;
  }

  waiting_list in_order_;
  request_block* heap_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace asioq::detail
