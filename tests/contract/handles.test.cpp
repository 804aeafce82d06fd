#include "catch.hpp"
#include "counting_allocator.hpp"
#include "every_executor.hpp"
#include "requests.hpp"
#include "threads.hpp"

#include <memory_resource>

using namespace asioq_test;

TEST_CASE("a destroyed handle recycles its buffer, on whatever thread", "[handle]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    for (int i = 0; i < 20; ++i) {
      asioq::asio_request done = run(queue, read_of(queue, file, 3, 0));
      std::string seen;
      std::thread([&seen, mine = std::move(done)] { seen = text_of(mine.data()); }).join();
      CHECK(seen == "abc");
    }
    CHECK(queue.allocated_requests() == 0);
    CHECK(queue.idle_requests() == 1);
  });
}

TEST_CASE("the counters tell where requests are", "[counters]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    CHECK(queue.use_count == 0);
    queue.use_count = 42;
    CHECK(queue.allocated_requests() == 0);
    CHECK(queue.running_requests() == 0);
    CHECK(queue.running_writebacks() == 0);
    std::vector<asioq::asio_request> held;
    for (int i = 0; i < 3; ++i) held.push_back(queue.get());
    CHECK(queue.allocated_requests() == 3);
    CHECK(queue.running_requests() == 0);
    held.clear();
    CHECK(queue.allocated_requests() == 0);
    CHECK(queue.idle_requests() == 3);
    for (int i = 0; i < 3; ++i) held.push_back(queue.get());
    CHECK(queue.allocated_requests() == 3);
    CHECK(queue.idle_requests() == 0);
    held[0].prepare_read(file.get(), 3, 0);
    queue.submit(std::move(held[0]));
    CHECK_FALSE(held[0]);
    held[0] = queue.wait();
    CHECK(queue.running_requests() == 0);
    held.clear();
    CHECK(queue.allocated_requests() == 0);
    CHECK(queue.idle_requests() == 3);
    queue.shrink_to_fit();
    CHECK(queue.idle_requests() == 0);
    CHECK(queue.use_count == 42);
  });
}

TEST_CASE("running counters count what has not finished", "[counters]") {
  on_every_threaded_executor([](const auto& world) {
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(read_of(queue, pipe.read_end, 1));
    queue.submit(write_back_of(queue, pipe.write_end, "b"));
    queue.submit(write_back_of(queue, pipe.write_end, "c"));
    CHECK(queue.running_requests() == 3);
    CHECK(queue.running_writebacks() == 2);
    CHECK(queue.allocated_requests() == 3);
    pipe.put("a");
    queue.sync();
    CHECK(queue.running_requests() == 0);
    CHECK(queue.running_writebacks() == 0);
    CHECK(pipe.take(2) == "bc");
    CHECK(queue.wait().bytes_transferred() == 1);
  });
}

TEST_CASE("a recycled request is as good as new", "[handle]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512});
    {
      asioq::asio_request request = write_of(queue, full, "x", 5);
      int mine = 0;
      request.set_user_data(&mine);
      CHECK(run(queue, std::move(request)).error());
    }
    asioq::asio_request next = queue.get();
    CHECK(next.op() == asioq::asio_op::free);
    CHECK(next.user_data() == nullptr);
    CHECK_FALSE(next.error());
    CHECK(next.bytes_transferred() == 0);
    CHECK(queue.allocated_requests() == 1);
    CHECK_THROWS_AS(queue.submit(std::move(next)), std::invalid_argument);
  });
}

TEST_CASE("a handle outlives its queue, and takes its memory with it", "[handle][allocator]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    memory_log log;
    asioq::asio_request kept;
    asioq::asio_request unused;
    {
      auto queue = world.queue({.buffer_size = 512}, counting_allocator<std::byte>(log));
      kept = run(queue, read_of(queue, file, 3, 0));
      unused = queue.get();
      for (int i = 0; i < 5; ++i) queue.submit(read_of(queue, file, 3, 0));  // finished, never collected
    }
    const long with_two = log.live;
    CHECK(with_two > 0);
    CHECK(text_of(kept.data()) == "abc");
    std::thread([mine = std::move(kept)] {}).join();
    const long with_one = log.live;
    CHECK(with_one < with_two);
    CHECK(unused.buffer().size() == 512);
    auto other = world.queue({.buffer_size = 512});
    unused.prepare_read(file.get(), 3, 0);
    CHECK_THROWS_AS(other.submit(std::move(unused)), std::invalid_argument);
    REQUIRE(unused);
    unused = {};
    CHECK(log.live == 0);
  });
}

TEST_CASE("all memory comes from the allocator and goes back", "[allocator]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    memory_log log;
    {
      const counting_allocator<char> allocator(log);
      auto queue = world.queue({.buffer_size = 10'000, .max_writebacks = 3}, allocator);
      CHECK(queue.get_allocator() == allocator);
      for (std::uint64_t i = 0; i < 50; ++i) queue.submit(write_back_of(queue, file, "x", i));
      queue.sync();
      CHECK(log.live > 0);
    }
    CHECK(log.live == 0);
  });
}

TEST_CASE("once warm, a queue asks its allocator for nothing", "[allocator][allocation]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    memory_log log;
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 4}, counting_allocator<std::byte>(log));
    const auto round = [&] {
      for (std::uint64_t i = 0; i < 20; ++i) queue.submit(write_back_of(queue, file, "x", i));
      for (int i = 0; i < 20; ++i) queue.submit(read_of(queue, file, 20, 0));
      std::size_t count = 0;
      while (queue.wait()) ++count;
      return count;
    };
    std::vector<asioq::asio_request> most;  // as many as can be out at the same time
    for (int i = 0; i < 45; ++i) most.push_back(queue.get());
    most.clear();
    const long before = log.allocations;
    const std::size_t requests = queue.idle_requests();
    for (int i = 0; i < 10; ++i) REQUIRE(round() == 20);
    CHECK(log.allocations == before);
    CHECK(queue.allocated_requests() == 0);
    CHECK(queue.idle_requests() == requests);
  });
}

TEST_CASE("polymorphic allocators work", "[allocator][pmr]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    alignas(4096) static std::byte memory[128 * 1024];
    std::pmr::monotonic_buffer_resource resource(memory, sizeof memory, std::pmr::null_memory_resource());
    const std::pmr::polymorphic_allocator<std::byte> allocator(&resource);
    auto queue = world.queue({.buffer_size = 4096, .max_writebacks = 2}, allocator);
    std::string expected;
    for (unsigned i = 0; i < 30; ++i) {
      asioq::asio_request request = write_back_of(queue, file, pattern(100, i));
      CHECK(request.buffer().data() >= memory);
      CHECK(request.buffer().data() + 4096 <= memory + sizeof memory);
      CHECK(reinterpret_cast<std::uintptr_t>(request.buffer().data()) % asioq::buffer_alignment == 0);
      queue.submit(std::move(request));
      expected += pattern(100, i);
    }
    queue.sync();
    CHECK((contents(file) == expected));
  });
}

TEST_CASE("a queue may pass from thread to thread", "[thread]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 2});
    std::string expected;
    for (int i = 0; i < 10; ++i) {
      expected += std::to_string(i) + "wb";
      run_on_threads(1, [&] {
        queue.submit(write_of(queue, file, std::to_string(i)));
        queue.submit(write_back_of(queue, file, "wb"));
      });
    }
    CHECK(drain(queue).size() == 10);
    CHECK(contents(file) == expected);
  });
}
