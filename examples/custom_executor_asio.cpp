// Shows queues that run on the threads of a standalone Asio pool, and are used by handlers on the same threads.
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <asioq/asioq.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <future>
#include <iostream>
#include <stdexcept>
#include <utility>

namespace {

struct asio_pool_executor {
  asio::thread_pool::executor_type target;

  // A task is two words and callable, so it is itself the function that Asio wants.
  void execute(asioq::task work) const { asio::post(target, work); }
  bool operator==(const asio_pool_executor&) const = default;
};
static_assert(asioq::executor<asio_pool_executor>);

// A queue has one owner at a time: here it is made, used and destroyed by one handler.
bool write_and_read(const asio_pool_executor& executor) {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  const int fd = ::fileno(file);
  asioq::basic_asio_queue<asio_pool_executor> queue{executor, {.buffer_size = 1 << 16}};
  for (std::size_t i = 0; i < 100; ++i) {
    auto request = queue.get();
    std::ranges::fill(request.buffer(), std::byte(i));
    request.prepare_write_back(fd, request.buffer().size(), i * request.buffer().size());
    queue.submit(std::move(request));
  }
  queue.sync();  // carries out requests itself if every thread of the pool is busy, so it never waits for itself

  auto request = queue.get();
  request.prepare_read(fd, request.buffer().size(), 41 * request.buffer().size());
  queue.submit(std::move(request));
  const asioq::asio_request done = queue.wait();
  std::fclose(file);
  return !done.data().empty() && std::ranges::all_of(done.data(), [](std::byte b) { return b == std::byte(41); });
}

}  // namespace

int main() try {
  asio::thread_pool pool(2);
  std::array<std::promise<bool>, 3> results;
  for (std::promise<bool>& result : results)
    asio::post(pool, [&] {
      try {
        result.set_value(write_and_read({pool.get_executor()}));
      } catch (...) {
        result.set_exception(std::current_exception());
      }
    });

  bool right = true;
  for (std::promise<bool>& result : results) right = result.get_future().get() && right;
  pool.join();
  if (!right) throw std::runtime_error("a file is wrong");
  std::cout << "three files written and read on two threads\n";
} catch (const std::exception& error) {
  std::cerr << "custom_executor_asio: " << error.what() << '\n';
  return 1;
}
