// Shows a queue that runs in a oneTBB arena, beside a parallel algorithm that makes the data to be written.
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <asioq/asioq.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <span>
#include <stdexcept>
#include <utility>

namespace {

// File operations block their thread, so an arena of their own leaves the other threads to computations.
struct io_arena {
  oneapi::tbb::task_arena arena{1, 0};
  oneapi::tbb::task_group tasks;

  // A task may still be on its way when its queue is gone. It has to run all the same.
  ~io_arena() {
    arena.execute([this] { tasks.wait(); });
  }
};

struct arena_executor {
  io_arena* io;  // outlives the queue

  void execute(asioq::task work) const {
    io->arena.enqueue(io->tasks.defer([work] { work(); }));
  }
  bool operator==(const arena_executor&) const = default;
};
static_assert(asioq::executor<arena_executor>);

constexpr std::size_t block_size = 1 << 16;
constexpr std::size_t blocks = 64;
constexpr std::byte content(std::size_t offset) { return std::byte(offset * offset % 251); }

}  // namespace

int main() try {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  const int fd = ::fileno(file);

  io_arena io;
  asioq::basic_asio_queue<arena_executor> queue{arena_executor{&io}, {.buffer_size = block_size}};
  for (std::size_t offset = 0; offset < blocks * block_size; offset += block_size) {
    asioq::asio_request request = queue.get();
    const std::span<std::byte> to = request.buffer();
    oneapi::tbb::parallel_for(std::size_t{0}, block_size, [&](std::size_t i) { to[i] = content(offset + i); });
    request.prepare_write_back(fd, block_size, offset);
    queue.submit(std::move(request));  // this block is written while the next one is made
  }

  std::size_t right = 0;
  for (std::size_t offset = 0; offset < blocks * block_size; offset += block_size) {
    asioq::asio_request request = queue.get();
    request.prepare_read(fd, block_size, offset);
    queue.submit(std::move(request));  // the order makes sure that the block has been written
    const asioq::asio_request done = queue.wait();
    for (std::size_t i = 0; i < done.data().size(); ++i) right += done.data()[i] == content(offset + i) ? 1 : 0;
  }
  std::fclose(file);
  std::cout << right << " bytes are right\n";
  if (right != blocks * block_size) throw std::runtime_error("some are not");
} catch (const std::exception& error) {
  std::cerr << "custom_executor_tbb: " << error.what() << '\n';
  return 1;
}
