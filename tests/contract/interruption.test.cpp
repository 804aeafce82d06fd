#include "catch.hpp"
#include "every_executor.hpp"
#include "faults.hpp"
#include "requests.hpp"
#include "threads.hpp"

#include <atomic>

using namespace asioq_test;

namespace {

constexpr int harmless = SIGPROF;  // workers do not block it

std::atomic<int> interruptions = 0;
static_assert(std::atomic<int>::is_always_lock_free);  // a signal handler may use it
void count_interruption(int) { ++interruptions; }

/// Interrupts the thread that sits in the system call, `times` times, each time after it is back there.
void interrupt(long number, int fd, int times) {
  for (int i = 0; i < times; ++i) {
    const int before = interruptions;
    signal_thread(wait_for_thread_in(number, fd), harmless);
    while (interruptions == before) std::this_thread::yield();
  }
  wait_for_thread_in(number, fd);
}

constexpr const char* blind = "skipped: /proc/self/task/*/syscall does not show what threads are doing";

}  // namespace

TEST_CASE("a signal does not end a read", "[fault][signal]") {
  if (!can_see_system_calls()) {
    WARN(blind);
    return;
  }
  on_every_task_executor([](const auto& world) {
    const signal_action handler(harmless, count_interruption);
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 4096});
    std::thread other([&] {
      interrupt(SYS_read, pipe.read_end.get(), 5);
      pipe.put("at last");
    });
    const asioq::asio_request done = run(queue, read_of(queue, pipe.read_end, 4096));
    other.join();
    CHECK_FALSE(done.error());
    CHECK(text_of(done.data()) == "at last");
  });
}

TEST_CASE("a signal does not end a write", "[fault][signal]") {
  if (!can_see_system_calls()) {
    WARN(blind);
    return;
  }
  on_every_task_executor([](const auto& world) {
    const signal_action handler(harmless, count_interruption);
    const std::string text = pattern(100'000);
    const pipe_ends pipe;
    const std::size_t room = pipe.shrink();
    std::string seen;
    auto queue = world.queue({.buffer_size = 100'000});
    std::thread other([&] {
      for (int i = 0; i < 5; ++i) {
        interrupt(SYS_write, pipe.write_end.get(), 2);  // with some bytes moved, then with none
        seen += pipe.take(room);
      }
      seen += pipe.take(text.size() - seen.size());
    });
    const asioq::asio_request done = run(queue, write_of(queue, pipe.write_end, text));
    other.join();
    CHECK_FALSE(done.error());
    CHECK(done.bytes_transferred() == text.size());
    CHECK((seen == text));
  });
}
