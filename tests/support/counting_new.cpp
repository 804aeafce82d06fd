// Replaces the global operator new of this executable by one that counts and can fail.
#include "counting_new.hpp"

#include <malloc.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace asioq_test {

std::atomic<long> news = 0;
std::atomic<long> live_news = 0;
std::atomic<long> live_bytes = 0;

namespace {

constexpr long no_failure = -1;
std::atomic<long> until_failure = no_failure;  // calls that succeed before the one that fails

/// Whether this call fails.
bool is_the_one() {
  for (long left = until_failure.load(); left >= 0;)
    if (until_failure.compare_exchange_weak(left, left - 1)) return left == 0;
  return false;
}

void* counted(std::size_t size, std::size_t alignment) {
  if (is_the_one()) throw std::bad_alloc();
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  news.fetch_add(1, std::memory_order_relaxed);
  live_news.fetch_add(1, std::memory_order_relaxed);
  live_bytes.fetch_add(static_cast<long>(::malloc_usable_size(memory)), std::memory_order_relaxed);
  return memory;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  live_news.fetch_sub(1, std::memory_order_relaxed);
  live_bytes.fetch_sub(static_cast<long>(::malloc_usable_size(memory)), std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

failing_new::failing_new(long number) { until_failure.store(number - 1); }
failing_new::~failing_new() { until_failure.store(no_failure); }
bool failing_new::has_failed() const { return until_failure.load() < 0; }

}  // namespace asioq_test

using asioq_test::counted;
using asioq_test::release;

// All forms: a sanitizer has its own version of each that is not here.

void* operator new(std::size_t size) { return counted(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new[](std::size_t size) { return counted(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept try {
  return counted(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
} catch (const std::bad_alloc&) {
  return nullptr;
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept try {
  return counted(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
} catch (const std::bad_alloc&) {
  return nullptr;
}

void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { release(memory); }
