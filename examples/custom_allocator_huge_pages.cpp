// Shows buffers that share huge pages, where each is contiguous in physical memory.
#include <asioq/asioq.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory_resource>
#include <stdexcept>
#include <utility>
#include <vector>

int main() try {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  asioq::huge_page_resource pages;
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
