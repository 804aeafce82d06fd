#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <chrono>

using namespace asioq_test;

// A lost wake-up shows as a test that never ends.

TEST_CASE("no wake-up is lost when one request at a time is waited for", "[wake_up]") {
  on_every_executor([](const auto& world) {
    auto random = random_source(5);
    INFO("seed " << run_seed());
    const descriptor zeros = open_path("/dev/zero", O_RDONLY);
    auto queue = world.queue();
    std::size_t wrong = 0;
    for (int i = 0; i < 20'000; ++i) {
      // Of all durations, so that the end of one may coincide with any moment of the wait.
      const std::size_t length = 1 + below(random, std::size_t{1} << below(random, 17));
      wrong += run(queue, read_of(queue, zeros, length, 0)).bytes_transferred() == length ? 0 : 1;
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("no wake-up is lost when there is room for one write-back", "[wake_up][throttle]") {
  on_every_executor([](const auto& world) {
    const descriptor null = open_path("/dev/null", O_WRONLY);
    for (const std::size_t room : {1U, 2U}) {
      auto queue = world.queue({.buffer_size = 64, .max_writebacks = room});
      for (int i = 0; i < 20'000; ++i) queue.submit(write_back_of(queue, null, "x"));
      CHECK_FALSE(queue.wait());
      CHECK(queue.running_writebacks() == 0);
    }
  });
}

TEST_CASE("timed waits that give up leave no trace", "[wake_up][timed]") {
  on_every_threaded_executor([](const auto& world) {
    auto random = random_source(3);
    INFO("seed " << run_seed());
    const descriptor file = temp_file_with(std::string(64, 'x'));
    auto queue = world.queue({.buffer_size = 64});
    std::uint64_t next = 0;
    std::size_t wrong = 0;
    for (int i = 0; i < 2000; ++i) {
      const std::size_t count = 1 + below(random, 3);
      for (std::size_t k = 0; k < count; ++k) queue.submit(read_of(queue, file, 64, 0));
      for (std::size_t k = 0; k < count;) {
        asioq::asio_request done =
            below(random, 8) == 0 ? queue.wait() : queue.wait_for(std::chrono::nanoseconds(below(random, 60'000)));
        if (!done) continue;
        wrong += done.sequence() == next++ ? 0 : 1;
        ++k;
      }
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("every wait, sync and submit without room ends, in any mixture", "[wake_up][random]") {
  on_every_executor([](const auto& world) {
    auto random = random_source(4);
    INFO("seed " << run_seed());
    const descriptor null = open_path("/dev/null", O_RDWR);
    auto queue = world.queue({.buffer_size = 64, .max_writebacks = 3});
    std::size_t reads = 0;
    std::size_t collected = 0;
    for (int i = 0; i < 20'000; ++i) {
      switch (below(random, 8)) {
        case 0:
          queue.sync();
          break;
        case 1:
          collected += queue.wait() ? 1 : 0;
          break;
        case 2:
          queue.submit(read_of(queue, null, 1));
          ++reads;
          break;
        case 3:
          collected += queue.try_wait() ? 1 : 0;
          break;
        default:
          queue.submit(write_back_of(queue, null, "x"));
          break;
      }
    }
    while (queue.wait()) ++collected;
    CHECK(collected == reads);
  });
}
