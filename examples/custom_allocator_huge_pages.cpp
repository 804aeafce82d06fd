// Shows buffers of any size that share huge pages, by a std::pmr resource of your own.
#include <asioq/asioq.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

// Keeps what it has given until its end, as suits a queue, which uses its buffers again and again. A queue also
// allocates small objects. These come from elsewhere, so that they do not break up the pages.
class huge_pages : public std::pmr::memory_resource {
 public:
  huge_pages() = default;
  huge_pages(const huge_pages&) = delete;
  huge_pages& operator=(const huge_pages&) = delete;
  ~huge_pages() override {
    for (const auto& [place, size] : pieces_) ::munmap(place, size);
  }

 private:
  static constexpr std::size_t huge_page = 2 << 20;

  void* do_allocate(std::size_t size, std::size_t alignment) override {
    if (alignment < asioq::buffer_alignment) return std::pmr::new_delete_resource()->allocate(size, alignment);
    if (std::align(alignment, size, free_, left_) == nullptr) add_piece((size + huge_page - 1) / huge_page * huge_page);
    left_ -= size;
    return std::exchange(free_, static_cast<std::byte*>(free_) + size);
  }

  void do_deallocate(void* memory, std::size_t size, std::size_t alignment) override {
    if (alignment < asioq::buffer_alignment) std::pmr::new_delete_resource()->deallocate(memory, size, alignment);
  }

  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  void add_piece(std::size_t size) {
    pieces_.reserve(pieces_.size() + 1);
    // The kernel uses huge pages where it can, if the memory is aligned. So cut it out of a larger piece.
    void* const place = ::mmap(nullptr, size + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    auto* const begin = static_cast<std::byte*>(place);
    const std::size_t before = huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page;
    ::munmap(begin, before);
    if (before < huge_page) ::munmap(begin + before + size, huge_page - before);
    ::madvise(begin + before, size, MADV_HUGEPAGE);
    pieces_.emplace_back(free_ = begin + before, left_ = size);
  }

  std::vector<std::pair<void*, std::size_t>> pieces_;
  void* free_ = nullptr;  // in the last piece
  std::size_t left_ = 0;  // bytes from there on
};

int main() try {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  huge_pages pages;
  asioq::basic_asio_queue<asioq::default_executor, std::pmr::polymorphic_allocator<std::byte>> queue{
      {.buffer_size = 1 << 16}, &pages};

  // 32 buffers of 64 KiB fill one huge page.
  std::vector<asioq::asio_request> requests;
  while (requests.size() < 32) requests.push_back(queue.get());
  const std::byte* const page = requests.front().buffer().data();
  bool right = reinterpret_cast<std::uintptr_t>(page) % (2 << 20) == 0;
  for (std::size_t offset = 0; asioq::asio_request & request : requests) {
    right = right && request.buffer().data() == page + offset;
    std::ranges::fill(request.buffer(), std::byte('h'));
    request.prepare_write(::fileno(file), 1 << 16, offset);
    queue.submit(std::move(request));
    offset += 1 << 16;
  }
  while (const asioq::asio_request done = queue.wait()) right = right && !done.error();

  std::fclose(file);
  if (!right) throw std::runtime_error("a write has failed, or a buffer is wrong");
  std::cout << "2 MiB written from a huge page that 32 buffers share\n";
} catch (const std::exception& error) {
  std::cerr << "custom_allocator_huge_pages: " << error.what() << '\n';
  return 1;
}
