// A standard allocator with state: it counts, and it can run out of memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <limits>
#include <new>

namespace asioq_test {

/// What all copies of one counting_allocator share. Any thread may allocate or free.
struct memory_log {
  std::atomic<long> allocations = 0;                            // ever made
  std::atomic<long> live = 0;                                   // made and not yet freed
  std::atomic<long> budget = std::numeric_limits<long>::max();  // allocations until bad_alloc
};

/// Takes its memory from operator new, through `memory_log`; copies are equal if they have the same log.
template <class T>
class counting_allocator {
 public:
  using value_type = T;

  explicit counting_allocator(memory_log& log) noexcept : log_(&log) {}
  template <class U>
  counting_allocator(const counting_allocator<U>& other) noexcept : log_(other.log()) {}

  T* allocate(std::size_t count) {
    if (log_->budget.fetch_sub(1) <= 0) {
      ++log_->budget;
      throw std::bad_alloc();
    }
    ++log_->allocations;
    ++log_->live;
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{alignof(T)}));
  }

  void deallocate(T* memory, std::size_t) noexcept {
    --log_->live;
    ::operator delete(memory, std::align_val_t{alignof(T)});
  }

  [[nodiscard]] memory_log* log() const noexcept { return log_; }

  template <class U>
  bool operator==(const counting_allocator<U>& other) const noexcept {
    return log_ == other.log();
  }

 private:
  memory_log* log_;
};

}  // namespace asioq_test
