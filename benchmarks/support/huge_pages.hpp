// Memory that a device can be told of in few pieces.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>

namespace bench {

/// Has buffers of whole huge pages consist of these, where the kernel has some. Ordinary pages are all over the memory,
/// and a device has to be told of each.
template <class T>
struct huge_page_allocator {
  using value_type = T;
  static constexpr std::size_t huge_page = std::size_t{2} << 20U;

  huge_page_allocator() = default;
  template <class U>
  huge_page_allocator(const huge_page_allocator<U>& /*all are equal*/) noexcept {}

  T* allocate(std::size_t count) {
    if (!is_of_huge_pages(count)) return std::allocator<T>().allocate(count);
    void* const memory = ::operator new(count * sizeof(T), std::align_val_t{huge_page});
    ::madvise(memory, count * sizeof(T), MADV_HUGEPAGE);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    if (!is_of_huge_pages(count)) return std::allocator<T>().deallocate(memory, count);
    ::operator delete(memory, count * sizeof(T), std::align_val_t{huge_page});
  }

  bool operator==(const huge_page_allocator& /*all are equal*/) const = default;

 private:
  static bool is_of_huge_pages(std::size_t count) { return count != 0 && count * sizeof(T) % huge_page == 0; }
};

}  // namespace bench
