#pragma once

#include <asioq/task.hpp>

#include <cstddef>
#include <vector>

namespace asioq::detail {

/// A FIFO of tasks. Unlike `std::deque` it allocates only when it becomes longer than ever before.
class task_ring {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }

  [[nodiscard]] std::size_t size() const noexcept { return tail_ - head_; }

  void push(task work) {
    if (size() == slots_.size()) grow();
    slots_[tail_++ & (slots_.size() - 1)] = work;
  }

  task pop() noexcept { return slots_[head_++ & (slots_.size() - 1)]; }

 private:
  void grow() {
    std::vector<task> larger(slots_.size() * 2, task{nullptr, nullptr});
    const std::size_t count = size();
    for (std::size_t i = 0; i < count; ++i) larger[i] = slots_[(head_ + i) & (slots_.size() - 1)];
    slots_.swap(larger);
    head_ = 0;
    tail_ = count;
  }

  std::vector<task> slots_ = std::vector<task>(32, task{nullptr, nullptr});  // the size is a power of two
  std::size_t head_ = 0;  // counts tasks ever popped; modulo the size, the slot of the next to pop
  std::size_t tail_ = 0;  // counts tasks ever pushed; tail_ - head_ are inside
};

}  // namespace asioq::detail
