// Memory that a device can be told of in few pieces.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <new>
#include <utility>
#include <vector>

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

/// Has buffers of any size share huge pages, until it goes. All else comes from `std::allocator`.
class shared_huge_pages final : public std::pmr::memory_resource {
 public:
  using allocator_type = std::pmr::polymorphic_allocator<std::byte>;
  allocator_type allocator() { return this; }

 private:
  static constexpr std::size_t page = 4096;

  void* do_allocate(std::size_t size, std::size_t alignment) override {
    if (alignment < page) return std::pmr::new_delete_resource()->allocate(size, alignment);
    if (std::align(alignment, size, free_, left_) == nullptr) {
      using whole = huge_page_allocator<std::byte>;
      left_ = (size + whole::huge_page - 1) / whole::huge_page * whole::huge_page;
      free_ = pieces_.emplace_back(left_).data();
    }
    left_ -= size;
    return std::exchange(free_, static_cast<std::byte*>(free_) + size);
  }
  void do_deallocate(void* memory, std::size_t size, std::size_t alignment) override {
    if (alignment < page) std::pmr::new_delete_resource()->deallocate(memory, size, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::vector<std::vector<std::byte, huge_page_allocator<std::byte>>> pieces_;
  void* free_ = nullptr;  // in the last of them
  std::size_t left_ = 0;  // bytes from there on
};

}  // namespace bench
