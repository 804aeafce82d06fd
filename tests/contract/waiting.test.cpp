#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <chrono>
#include <limits>
#include <thread>

using namespace asioq_test;
using namespace std::chrono_literals;

TEST_CASE("a wait on a queue with nothing to do is empty at once", "[wait]") {
  on_every_executor([](const auto& world) {
    auto queue = world.queue();
    CHECK_FALSE(queue.wait());
    CHECK_FALSE(queue.try_wait());
    CHECK_FALSE(queue.wait_for(1h));
    CHECK_FALSE(queue.wait_for(-1h));
    CHECK_FALSE(queue.wait_until(std::chrono::steady_clock::now() + 1h));
    CHECK_FALSE(queue.wait_until(std::chrono::system_clock::now() + 1h));
    CHECK_NOTHROW(queue.sync());
    CHECK_NOTHROW(queue.resume());
  });
}

TEST_CASE("sync leaves what has finished to the waits", "[wait][sync]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    for (int i = 0; i < 5; ++i) queue.submit(read_of(queue, file, 3, 0));
    queue.sync();
    CHECK(queue.running_requests() == 0);
    CHECK(queue.wait().sequence() == 0);
    CHECK(queue.try_wait().sequence() == 1);
    CHECK(queue.wait_for(0s).sequence() == 2);
    CHECK(queue.wait_for(-1s).sequence() == 3);
    CHECK(queue.wait_until(std::chrono::system_clock::time_point::min()).sequence() == 4);
    CHECK_FALSE(queue.try_wait());
  });
}

TEST_CASE("polling gets everything, in order", "[wait]") {
  on_every_executor([](const auto& world) {
    if (world.is_stuck) return;
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    for (int i = 0; i < 100; ++i) queue.submit(read_of(queue, file, 3, 0));
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
      asioq::asio_request done;
      while (!(done = i % 2 == 0 ? queue.try_wait() : queue.wait_for(1us))) world.nudge();
      wrong += done.sequence() == i ? 0 : 1;
    }
    CHECK(wrong == 0);
    CHECK_FALSE(queue.try_wait());
  });
}

TEST_CASE("on the inline executor a request has finished when submit returns", "[wait][inline]") {
  const descriptor file = temp_file_with("abc");
  asioq::basic_asio_queue<asioq::inline_executor> queue{{.buffer_size = 512}};
  queue.submit(read_of(queue, file, 3, 0));
  CHECK(queue.running_requests() == 0);
  CHECK(queue.try_wait().bytes_transferred() == 3);
}

TEST_CASE("a timed wait gives up when its time is over", "[wait][timed]") {
  on_every_threaded_executor([](const auto& world) {
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(read_of(queue, pipe.read_end, 10));
    CHECK_FALSE(queue.try_wait());
    const auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(queue.wait_for(10ms));
    CHECK(std::chrono::steady_clock::now() - start >= 10ms);
    CHECK_FALSE(queue.wait_until(std::chrono::steady_clock::now() + 1ms));
    CHECK_FALSE(queue.wait_until(std::chrono::system_clock::now() + 1ms));
    CHECK_FALSE(queue.wait_for(0s));
    CHECK_FALSE(queue.wait_for(-5s));
    CHECK(queue.running_requests() == 1);
    pipe.put("x");
    CHECK(queue.wait_for(1h).bytes_transferred() == 1);
    CHECK(queue.running_requests() == 0);
  });
}

TEST_CASE("a timed wait ends when a request does", "[wait][timed]") {
  on_every_threaded_executor([](const auto& world) {
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    for (int i = 0; i < 20; ++i) {
      queue.submit(read_of(queue, pipe.read_end, 10));
      const std::jthread other([&] { pipe.put("x"); });
      CHECK((i % 2 == 0 ? queue.wait_for(1h) : queue.wait_until(std::chrono::system_clock::now() + 1h)));
    }
  });
}

namespace {

/// A clock that began to count in the future.
struct countdown {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<countdown>;
  [[maybe_unused]] static constexpr bool is_steady = true;
  static time_point now() { return time_point(std::chrono::steady_clock::now().time_since_epoch() - 1000000h); }
};

}  // namespace

TEST_CASE("a timed wait takes any duration and any time point, the largest too", "[wait][timed]") {
  on_every_threaded_executor([](const auto& world) {
    using std::chrono::steady_clock;
    using std::chrono::system_clock;
    using float_seconds = std::chrono::duration<double>;
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    const auto with_data = [&](auto wait) {
      queue.submit(read_of(queue, pipe.read_end, 10));
      const std::jthread other([&] { pipe.put("x"); });
      return static_cast<bool>(wait());
    };
    CHECK(with_data([&] { return queue.wait_for(std::chrono::nanoseconds::max()); }));
    CHECK(with_data([&] { return queue.wait_for(std::chrono::hours::max()); }));
    CHECK(with_data([&] { return queue.wait_for(float_seconds(std::numeric_limits<double>::infinity())); }));
    CHECK(with_data([&] { return queue.wait_for(float_seconds(3600)); }));
    CHECK(with_data([&] { return queue.wait_until(steady_clock::time_point::max()); }));
    CHECK(with_data([&] { return queue.wait_until(system_clock::time_point::max()); }));
    CHECK(with_data([&] { return queue.wait_until(countdown::time_point::max()); }));
    CHECK(with_data([&] { return queue.wait_until(std::chrono::ceil<std::chrono::hours>(system_clock::now()) + 1h); }));
    queue.submit(read_of(queue, pipe.read_end, 10));
    CHECK_FALSE(queue.wait_for(float_seconds(0.001)));
    CHECK_FALSE(queue.wait_for(std::chrono::nanoseconds::min()));
    CHECK_FALSE(queue.wait_for(float_seconds(-std::numeric_limits<double>::infinity())));
    CHECK_FALSE(queue.wait_until(std::chrono::floor<std::chrono::seconds>(system_clock::now())));
    CHECK_FALSE(queue.wait_until(steady_clock::time_point::min()));
    pipe.put("x");
    CHECK(queue.wait());
  });
}

TEST_CASE("a timed wait leaves the work to the executor, a wait does not depend on it", "[wait]") {
  pumped_sink sink;
  const descriptor file = temp_file_with("abc");
  asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink}, {.buffer_size = 512}};
  queue.submit(read_of(queue, file, 3, 0));
  CHECK_FALSE(queue.try_wait());
  CHECK_FALSE(queue.wait_for(1ms));
  CHECK(queue.running_requests() == 1);
  CHECK(queue.wait().bytes_transferred() == 3);
  queue.submit(read_of(queue, file, 3, 0));
  sink.run_all();
  CHECK(queue.try_wait().bytes_transferred() == 3);
  CHECK_FALSE(queue.try_wait());
}

TEST_CASE("a failed write-back ends a wait for later requests", "[wait][write_back]") {
  on_every_threaded_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(write_back_of(queue, full, "x"));
    queue.submit(read_of(queue, pipe.read_end, 1));
    CHECK(queue.wait().error() == std::errc::no_space_on_device);  // while the read still runs
    CHECK(queue.running_requests() == 1);
    pipe.put("x");
    CHECK(queue.wait().sequence() == 1);
  });
}
