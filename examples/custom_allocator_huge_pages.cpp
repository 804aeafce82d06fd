// Shows buffers in huge pages, by an allocator of your own.
#include <asioq/asioq.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

constexpr std::size_t huge_page = 2 << 20;

// Only for what is as aligned as a buffer; a queue also allocates small objects, and these come from std::allocator.
template <class T>
struct huge_page_allocator : std::allocator<T> {
  huge_page_allocator() = default;
  template <class U>
  huge_page_allocator(const huge_page_allocator<U>& /*all are equal*/) noexcept {}

  static std::size_t rounded(std::size_t n) { return (n * sizeof(T) + huge_page - 1) / huge_page * huge_page; }

  T* allocate(std::size_t n) {
    if constexpr (alignof(T) < asioq::buffer_alignment) return std::allocator<T>::allocate(n);
    const std::size_t size = rounded(n);
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // Reserved huge pages, if the administrator has set some apart.
    void* place = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
    if (place != MAP_FAILED) return static_cast<T*>(place);
    // Else transparent ones: the kernel uses them where it can, if the memory is aligned. So cut it out of a larger
    // piece.
    place = ::mmap(nullptr, size + huge_page, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    auto* const begin = static_cast<std::byte*>(place);
    const std::size_t before = huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page;
    ::munmap(begin, before);
    if (before < huge_page) ::munmap(begin + before + size, huge_page - before);
    ::madvise(begin + before, size, MADV_HUGEPAGE);
    return reinterpret_cast<T*>(begin + before);
  }

  void deallocate(T* memory, std::size_t n) noexcept {
    if constexpr (alignof(T) < asioq::buffer_alignment)
      std::allocator<T>::deallocate(memory, n);
    else
      ::munmap(memory, rounded(n));
  }
};

int main() try {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  asioq::basic_asio_queue<asioq::default_executor, huge_page_allocator<std::byte>> queue{{.buffer_size = huge_page}};

  asioq::asio_request write = queue.get();
  std::ranges::fill(write.buffer(), std::byte('h'));
  const bool aligned = reinterpret_cast<std::uintptr_t>(write.buffer().data()) % huge_page == 0;
  write.prepare_write(::fileno(file), huge_page, 0);
  queue.submit(std::move(write));
  const bool written = queue.wait().bytes_transferred() == huge_page;

  std::fclose(file);
  if (!aligned || !written) throw std::runtime_error(written ? "the buffer is not aligned" : "the write has failed");
  std::cout << "2 MiB written from a huge page\n";
} catch (const std::exception& error) {
  std::cerr << "custom_allocator_huge_pages: " << error.what() << '\n';
  return 1;
}
