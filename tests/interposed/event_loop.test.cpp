#include <asioq/asioq.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "calls.hpp"
#include "catch.hpp"
#include "every_executor.hpp"
#include "readiness.hpp"
#include "receivers.hpp"
#include "requests.hpp"

using namespace asioq_test;

TEST_CASE("the eventfd is written to once for what the owner has to find, however much that is",
          "[event_loop][interposed]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file_with("abc");
    const descriptor full = open_path("/dev/full", O_RDWR);
    pumped_sink pump;
    asioq::basic_asio_queue<custom_executor> queue{custom_executor{&pump},
                                                   {.buffer_size = 512, .max_writebacks = 100, .order = order}};
    noting_receiver receiver;
    const transfer_counter calls(queue.native_handle());
    for (int i = 0; i < 10; ++i) {
      CHECK(queue.poll() == 0);
      CHECK_FALSE(queue.try_wait());
      queue.sync();
      queue.cancel();
    }
    CHECK(calls.writes() == 0);
    CHECK(calls.reads() == 0);
    long writes = 0;
    for (int round = 0; round < 5; ++round) {
      for (int i = 0; i < 10; ++i) queue.submit(read_of(queue, file, 3, 0), receiver);
      queue.submit(write_back_of(queue, full, "x", 0));
      queue.submit(read_of(queue, file, 3, 0));
      CHECK(calls.writes() == writes);
      pump.run_all();
      CHECK(calls.writes() == ++writes);  // by the task
      const long reads = calls.reads();
      CHECK(queue.run_one() == 1);
      CHECK(queue.poll() == 9);
      CHECK(queue.try_wait());
      CHECK(calls.reads() == reads);  // it is readable still
      CHECK(queue.try_wait());
      CHECK(calls.reads() == reads + 1);
      CHECK(calls.writes() == writes);

      queue.submit(read_of(queue, file, 3, 0), receiver);
      queue.sync();
      CHECK(calls.writes() == ++writes);  // by the owner
      queue.sync();
      queue.resume();
      static_cast<void>(queue.native_handle());
      CHECK(calls.writes() == writes);
      CHECK(queue.poll() == 1);
      CHECK(calls.writes() == writes);

      // What recycles itself is no business of the loop.
      for (std::uint64_t i = 0; i < 10; ++i) queue.submit(write_back_of(queue, file, "abc", 3 * i));
      pump.run_all();
      CHECK(queue.poll() == 0);
      CHECK(calls.writes() == writes);
    }
  });
}

TEST_CASE("the eventfd is written to at most once for each call that has found nothing", "[event_loop][interposed]") {
  on_every_threaded_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    const int fd = queue.native_handle();
    const transfer_counter calls(fd);
    long found_nothing = 1;
    for (int round = 0; round < 200; ++round) {
      for (int i = 0; i < 10; ++i) {
        queue.submit(read_of(queue, file, 3, 0), receiver);
        ++found_nothing;  // or something: then it was not written to after this
      }
      std::size_t delivered = 0;
      while (delivered < 10) {
        REQUIRE(is_readable(fd, for_long));
        delivered += queue.poll();
        ++found_nothing;
      }
    }
    CHECK(receiver.all.size() == 2000);
    CHECK(calls.writes() <= found_nothing);
    CHECK(calls.writes() >= 200);
  });
}

namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

}  // namespace

TEST_CASE("a queue whose descriptor was not asked for has none", "[event_loop][interposed]") {
  on_every_task_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const std::size_t before = open_descriptors();
    {
      auto queue = world.queue({.buffer_size = 512});
      noting_receiver receiver;
      for (int i = 0; i < 100; ++i) queue.submit(read_of(queue, file, 3, 0), receiver);
      CHECK_FALSE(queue.wait());
      CHECK(receiver.all.size() == 100);
      CHECK(open_descriptors() == before);
      CHECK(queue.native_handle() == queue.native_handle());
      CHECK(open_descriptors() == before + 1);
    }
    // Elsewhere a task may be left, which shares the dispatcher and with it the descriptor.
    if (!world.has_threads && world.pump == nullptr && !world.is_stuck) CHECK(open_descriptors() == before);
  });
}
