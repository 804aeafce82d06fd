// Shows queues that run on the threads of a standalone Asio program, and a completion that is posted back to Asio.
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <asioq/asioq.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <future>
#include <iostream>
#include <utility>

struct asio_pool_executor {
  asio::thread_pool::executor_type target;

  // A task is two words and callable, so it is itself the function that Asio wants.
  void execute(asioq::task work) const { asio::post(target, work); }
  bool operator==(const asio_pool_executor&) const = default;
};
static_assert(asioq::executor<asio_pool_executor>);

int main() {
  asio::thread_pool pool(2);
  std::array<std::FILE*, 3> files{std::tmpfile(), std::tmpfile(), std::tmpfile()};
  if (std::find(files.begin(), files.end(), nullptr) != files.end()) return 1;

  // A queue has one owner at a time; here each is made, used and destroyed by one handler.
  const auto work = [&pool](int fd) {
    asioq::basic_asio_queue<asio_pool_executor> queue{asio_pool_executor{pool.get_executor()},
                                                      {.buffer_size = 1 << 16}};
    for (std::size_t i = 0; i < 100; ++i) {
      auto request = queue.get();
      std::ranges::fill(request.buffer(), std::byte(i));
      request.prepare_write_back(fd, request.buffer().size(), i * request.buffer().size());
      queue.submit(std::move(request));
    }
    queue.sync();  // runs the requests itself if every thread of the pool is busy, so this never waits for itself

    auto request = queue.get();
    request.prepare_read(fd, request.buffer().size(), 41 * request.buffer().size());
    queue.submit(std::move(request));
    const asioq::asio_request done = queue.wait();
    return std::ranges::all_of(done.data(), [](std::byte b) { return b == std::byte(41); }) && !done.data().empty();
  };

  std::array<std::promise<bool>, files.size()> results;
  for (std::size_t i = 0; i < files.size(); ++i)
    asio::post(pool, [&, i] { results[i].set_value(work(::fileno(files[i]))); });

  bool right = true;
  for (auto& result : results) right = result.get_future().get() && right;
  pool.join();
  for (std::FILE* file : files) std::fclose(file);
  std::cout << (right ? "three files written and read on two threads\n" : "a file is wrong\n");
  return right ? 0 : 1;
}
