// Shows a queue that has all its memory in one fixed piece, by std::pmr, and what happens when that runs out.
#include <asioq/asioq.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

using pmr_queue = asioq::basic_asio_queue<asioq::default_executor, std::pmr::polymorphic_allocator<std::byte>>;

int main() try {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");

  // 1 MiB, of which each request takes its buffer, a little for itself, and what aligning costs. Then
  // null_memory_resource throws. The queue allocates one thing at a time, so a resource without locks will do.
  std::vector<std::byte> memory(1 << 20);
  std::pmr::monotonic_buffer_resource resource(memory.data(), memory.size(), std::pmr::null_memory_resource());
  pmr_queue queue{{.buffer_size = 1 << 16}, &resource};

  std::vector<asioq::asio_request> requests;
  bool right = true;
  try {
    while (true) {
      requests.push_back(queue.get());
      const auto address = reinterpret_cast<std::uintptr_t>(requests.back().buffer().data());
      right = right && address % asioq::buffer_alignment == 0;
    }
  } catch (const std::bad_alloc&) {
    std::cout << "room for " << requests.size() << " buffers\n";
  }

  // Running out has changed nothing: these work, are recycled, and need no more memory.
  const std::size_t count = requests.size();
  for (asioq::asio_request& request : requests) {
    request.buffer().front() = std::byte('x');
    request.prepare_write(::fileno(file), 1);
    queue.submit(std::move(request));
  }
  while (const asioq::asio_request done = queue.wait()) right = right && !done.error();
  for (std::size_t i = 0; i < count; ++i) requests[i] = queue.get();
  right = right && count > 0 && queue.allocated_requests() == count;

  std::fseek(file, 0, SEEK_END);
  right = right && std::ftell(file) == static_cast<long>(count);
  std::fclose(file);
  if (!right) throw std::runtime_error("a write has failed, or a buffer is wrong");
} catch (const std::exception& error) {
  std::cerr << "custom_allocator_pmr: " << error.what() << '\n';
  return 1;
}
