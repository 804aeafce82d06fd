#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"
#include "threads.hpp"

#include <atomic>

using namespace asioq_test;

namespace {

/// Makes a queue, gives it something to do, and destroys it in the middle of it.
template <class World>
void short_life(const World& world, const descriptor& file, int number) {
  auto queue = world.queue({.buffer_size = 64, .max_writebacks = 2});
  for (int i = 0; i < number % 5; ++i) {
    queue.submit(write_back_of(queue, file, "x"));
    if (number % 3 == 0) queue.submit(read_of(queue, file, 1, 0));
  }
  if (number % 7 == 0) queue.sync();
  if (number % 4 == 0) static_cast<void>(queue.try_wait());
}

std::size_t writes(int lives) {
  std::size_t count = 0;
  for (int i = 0; i < lives; ++i) count += static_cast<std::size_t>(i % 5);
  return count;
}

}  // namespace

TEST_CASE("queues may be made and destroyed at speed", "[lifetime]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    for (int i = 0; i < 1000; ++i) short_life(world, file, i);
    CHECK(contents(file) == std::string(writes(1000), 'x'));
  });
}

TEST_CASE("queues may be made and destroyed at speed on many threads", "[lifetime][thread]") {
  on_every_threaded_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor appending = reopen(file, O_RDWR | O_APPEND);
    run_on_threads(4, [&] {
      for (int i = 0; i < 300; ++i) short_life(world, appending, i);
    });
    CHECK(contents(file).size() == 4 * writes(300));
  });
}

TEST_CASE("the default pool may come and go at speed", "[lifetime][default_executor]") {
  const std::size_t before = thread_count();
  const descriptor file = temp_file();
  for (int i = 0; i < 200; ++i) {
    asioq::asio_queue queue{{.buffer_size = 64}};
    queue.submit(write_back_of(queue, file, "x"));
  }
  CHECK(contents(file) == std::string(200, 'x'));
  CHECK(threads_fall_to(before));
}

TEST_CASE("a pool may go right after its last queue", "[lifetime][thread_pool]") {
  const descriptor file = temp_file();
  for (int i = 0; i < 300; ++i) {
    asioq::thread_pool pool{2};
    short_life(world<asioq::thread_pool::executor_type>{pool.executor()}, file, 4);
  }
  CHECK(contents(file).size() == 1200);
}
