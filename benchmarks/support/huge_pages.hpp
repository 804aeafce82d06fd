// Memory that a device can be told of in few pieces.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
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
    // Not of operator new: it may give what was in use before, and ordinary pages stay what they are.
    const std::size_t size = count * sizeof(T);
    void* const place = ::mmap(nullptr, size + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    auto* const begin = static_cast<std::byte*>(place);
    const std::size_t before = huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page;
    ::munmap(begin, before);
    if (before < huge_page) ::munmap(begin + before + size, huge_page - before);
    ::madvise(begin + before, size, MADV_HUGEPAGE);
    return reinterpret_cast<T*>(begin + before);
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    if (!is_of_huge_pages(count)) return std::allocator<T>().deallocate(memory, count);
    ::munmap(memory, count * sizeof(T));
  }

  bool operator==(const huge_page_allocator& /*all are equal*/) const = default;

 private:
  static bool is_of_huge_pages(std::size_t count) { return count != 0 && count * sizeof(T) % huge_page == 0; }
};

}  // namespace bench
