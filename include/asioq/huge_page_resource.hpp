#pragma once

/// @file
/// Buffers in huge pages, for direct transfers.

#include <asioq/options.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace asioq {

/// Puts the buffers of queues into huge pages, which the buffers share, where the kernel provides such pages:
///
///     asioq::huge_page_resource pages;
///     asioq::basic_asio_queue queue{executor, options, std::pmr::polymorphic_allocator<>(&pages)};
///
/// An ordinary buffer consists of pages of 4096 bytes, scattered over physical memory. In each direct transfer, the
/// kernel and the device have to handle every one of them. In huge pages, a buffer of at most 2 MiB is one contiguous
/// piece, or two. That pays for direct transfers of 64 KiB and more, most of all on the disks of virtual machines. A
/// program whose transfers go through the page cache gains nothing.
///
/// Where the kernel has no huge pages to give, the memory consists of ordinary pages. Source: madvise(2),
/// `MADV_HUGEPAGE`.
///
/// **Memory** comes from mmap(2), and the resource returns it when it is destroyed. What is deallocated before that is
/// reused for allocations of the same size and alignment. The resource takes memory in units of a huge page, usually 2
/// MiB. So let all queues of a program share a resource, and do without one if all their buffers together take less
/// than 2 MiB. Allocations with an alignment of less than `buffer_alignment`, such as the small objects of a queue,
/// come from `std::pmr::new_delete_resource()`.
///
/// **Errors.** An allocation throws `std::bad_alloc`, and changes nothing then.
///
/// **Lifetime.** The resource must outlive the queues and all their handles.
///
/// **Threads.** Any number of threads may use it at the same time.
///
/// **Complexity.** An allocation or a deallocation takes time linear in the number of different sizes so far.
class huge_page_resource final : public std::pmr::memory_resource {
 public:
  huge_page_resource() = default;
  huge_page_resource(const huge_page_resource&) = delete;
  huge_page_resource& operator=(const huge_page_resource&) = delete;
  ~huge_page_resource() override {
    for (const piece& its : pieces_) ::munmap(its.begin, its.size);
  }

 private:
  static constexpr std::size_t huge_page = std::size_t{2} << 20U;
  /// In bytes of address space. Only the huge pages that are used take memory.
  static constexpr std::size_t least_piece = 16 * huge_page;

  struct piece {
    void* begin;
    std::size_t size;
  };
  /// Is in deallocated memory, and points to the next of the same size.
  struct idle_memory {
    idle_memory* next;
  };
  struct idle_list {
    std::size_t size;
    std::size_t alignment;
    idle_memory* first;
  };

  void* do_allocate(std::size_t size, std::size_t alignment) override {
    if (is_small(alignment)) return std::pmr::new_delete_resource()->allocate(size, alignment);
    const std::scoped_lock lock(mutex_);
    idle_list& idle = list_of(size, alignment);
    if (idle.first != nullptr) return std::exchange(idle.first, idle.first->next);
    size = std::max(size, sizeof(idle_memory));
    if (std::align(alignment, size, free_, left_) == nullptr) {
      add_piece(size, alignment);
      static_cast<void>(std::align(alignment, size, free_, left_));
    }
    left_ -= size;
    return std::exchange(free_, static_cast<std::byte*>(free_) + size);
  }

  void do_deallocate(void* memory, std::size_t size, std::size_t alignment) override {
    if (is_small(alignment)) {
      std::pmr::new_delete_resource()->deallocate(memory, size, alignment);
      return;
    }
    const std::scoped_lock lock(mutex_);
    idle_list& idle = list_of(size, alignment);  // which is there, since the memory was allocated
    idle.first = std::construct_at(static_cast<idle_memory*>(memory), idle.first);
  }

  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  static bool is_small(std::size_t alignment) noexcept { return alignment < buffer_alignment; }

  idle_list& list_of(std::size_t size, std::size_t alignment) {
    const auto place = std::ranges::find_if(
        idle_, [&](const idle_list& its) { return its.size == size && its.alignment == alignment; });
    return place != idle_.end() ? *place : idle_.emplace_back(idle_list{size, alignment, nullptr});
  }

  /// Begins a piece that has room for this allocation. What is left of the last piece stays unused.
  void add_piece(std::size_t size, std::size_t alignment) {
    if (size > std::numeric_limits<std::size_t>::max() / 4 || alignment > size + least_piece) throw std::bad_alloc();
    const std::size_t whole = std::max(least_piece, (size + alignment + huge_page - 1) / huge_page * huge_page);
    pieces_.reserve(pieces_.size() + 1);
    // Huge pages have to be aligned, so the piece is cut out of a larger mapping.
    void* const place = ::mmap(nullptr, whole + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    auto* const begin = static_cast<std::byte*>(place);
    const std::size_t before = huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page;
    ::munmap(begin, before);
    if (before < huge_page) ::munmap(begin + before + whole, huge_page - before);
#ifdef MADV_HUGEPAGE
    ::madvise(begin + before, whole, MADV_HUGEPAGE);
#endif
    pieces_.push_back({.begin = begin + before, .size = whole});
    free_ = begin + before;
    left_ = whole;
  }

  std::mutex mutex_;  // for all below
  std::vector<piece> pieces_;
  std::vector<idle_list> idle_;
  void* free_ = nullptr;  // the unused end of the last piece
  std::size_t left_ = 0;  // its bytes
};

}  // namespace asioq
