// What queues take from operator new, which this file replaces by one that counts.
#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "groups.hpp"
#include "support/queue_on.hpp"

namespace bench {
namespace {

// Any thread may allocate; relaxed, as they are read only when everything that counts has been waited for.
std::atomic<std::size_t> allocations{0};
std::atomic<std::size_t> bytes_allocated{0};

void* allocate(std::size_t size, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  bytes_allocated.fetch_add(size, std::memory_order_relaxed);
  void* const memory = alignment > alignof(std::max_align_t)
                           ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                           : std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

constexpr std::size_t block = 4096;
constexpr std::size_t write_backs = 16;

/// So many write-backs, until they are finished.
template <class Queue>
void use(Queue& queue, int fd, std::size_t requests) {
  for (std::size_t i = 0; i < requests; ++i) {
    asioq::asio_request request = queue.get();
    request.prepare_write_back(fd, block);
    queue.submit(std::move(request));
  }
  queue.sync();
}

int null_device() {
  const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::system_category(), "/dev/null");
  return fd;
}

/// Bytes for each of a thousand queues that have been used once, but those of the buffer. What has been freed again
/// counts too.
double memory_of_a_queue() {
  constexpr std::size_t queues = 1000;
  const int fd = null_device();
  const asioq::asio_queue first({.buffer_size = block});  // so that the common pool is there
  std::vector<std::unique_ptr<asioq::asio_queue>> all(queues);
  const std::size_t before = bytes_allocated;
  for (auto& queue : all) {
    queue = std::make_unique<asioq::asio_queue>(asioq::queue_options{.buffer_size = block});
    use(*queue, fd, 1);
  }
  const std::size_t bytes = bytes_allocated - before - queues * block;
  ::close(fd);
  return static_cast<double>(bytes) / queues;
}

/// Allocations by ten thousand requests after a thousand others.
template <class Place>
double allocations_of_warm_queue(asioq::execution_order order) {
  const int fd = null_device();
  queue_on<Place> its({.buffer_size = block, .max_writebacks = write_backs, .order = order});
  use(its.queue, fd, 1'000);
  const std::size_t before = allocations;
  use(its.queue, fd, 10'000);
  const std::size_t made = allocations - before;
  ::close(fd);
  return static_cast<double>(made);
}

}  // namespace

void add_memory(table& rows) {
  rows.add_count("bytes",
                 {.name = "memory/idle_queue",
                  .work = "memory of an idle queue without its buffers",
                  .subject = "asio_queue",
                  .goal = 2048},
                 memory_of_a_queue);
  const auto add = [&]<class Place>(const char* name, const char* who, asioq::execution_order order, Place* /*tag*/) {
    rows.add_count("allocations",
                   {.name = std::string("memory/warm_") + name,
                    .work = "10000 write-backs through a queue that is warm",
                    .subject = who,
                    .goal = 0},
                   [order] { return allocations_of_warm_queue<Place>(order); });
  };
  using asioq::execution_order;
  add("default", "asio_queue", execution_order::strict, static_cast<default_pool*>(nullptr));
  add("pool", "asioq, 4 threads, as if serial", execution_order::as_if_serial, static_cast<pool_of<4>*>(nullptr));
  if (asioq::uring_context::available())
    add("uring", "asioq, io_uring, as if serial", execution_order::as_if_serial, static_cast<ring*>(nullptr));
}

}  // namespace bench

void* operator new(std::size_t size) { return bench::allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return bench::allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
