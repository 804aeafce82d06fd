// What a queue says of its requests: how many there are, where they are, how far it has come.
#include "catch.hpp"
#include "counting_allocator.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <limits>
#include <list>

using namespace asioq_test;

TEST_CASE("requests are out, or idle, or freed", "[books]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    memory_log log;
    {
      auto queue = world.queue({.buffer_size = 512}, counting_allocator<std::byte>(log));
      const auto are = [&](std::size_t out, std::size_t idle) {
        return queue.allocated_requests() == out && queue.idle_requests() == idle;
      };
      CHECK(are(0, 0));
      asioq::asio_request one = queue.get();
      asioq::asio_request two = queue.get();
      CHECK(are(2, 0));
      one = {};
      CHECK(are(1, 1));
      const long live = log.live;
      queue.shrink_to_fit();
      CHECK(are(1, 0));
      CHECK(log.live < live);
      set_text(two, "abc");
      two.prepare_write_back(file.get(), 3, 0);
      queue.submit(std::move(two));
      CHECK(queue.allocated_requests() == 1);
      queue.sync();
      CHECK(are(0, 1));
      queue.submit(write_of(queue, file, "abc", 0));
      queue.sync();
      CHECK(are(1, 0));  // finished and not collected
      CHECK(queue.wait());
      CHECK(are(0, 1));
      {
        std::list<asioq::asio_request> many;
        for (int i = 0; i < 10; ++i) many.push_back(queue.get());
        CHECK(are(10, 0));
        std::jthread([its = std::move(many)] {}).join();  // given back on another thread
      }
      CHECK(are(0, 10));
      queue.shrink_to_fit();
      CHECK(are(0, 0));
    }
    CHECK(log.live == 0);
  });
}

TEST_CASE("no more requests are made than allowed, and none is lost for that", "[books]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 100, .max_requests = 3});
    std::list<asioq::asio_request> out;
    for (int i = 0; i < 3; ++i) out.push_back(i % 2 == 0 ? queue.get() : queue.try_get());
    CHECK_FALSE(queue.try_get());
    try {
      static_cast<void>(queue.get());
      FAIL("there was a fourth");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::not_enough_memory);
    }
    CHECK(queue.allocated_requests() == 3);
    out.pop_back();
    CHECK(queue.idle_requests() == 1);
    CHECK(queue.try_get());  // and back at once
    out.clear();
    for (std::uint64_t i = 0; i < 50; ++i) {
      asioq::asio_request request = queue.try_get();
      while (!request) {
        queue.sync();
        request = queue.try_get();
      }
      set_text(request, "abc");
      request.prepare_write_back(file.get(), 3, i * 3);
      queue.submit(std::move(request));
      CHECK(queue.allocated_requests() + queue.idle_requests() <= 3);
    }
    queue.sync();
    CHECK(contents(file).size() == 150);
    CHECK(queue.allocated_requests() == 0);
    queue.shrink_to_fit();
    for (int i = 0; i < 3; ++i) CHECK_NOTHROW(out.push_back(queue.get()));
    CHECK_FALSE(queue.try_get());
  });
}

TEST_CASE("completed_through covers what has finished, and nothing else", "[books]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512});
    CHECK(queue.completed_through() == 0);
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < 12; ++i) {
      queue.submit(i % 3 == 0   ? write_back_of(queue, file, "x", i)
                   : i % 3 == 1 ? write_of(queue, full, "x")
                                : fsync_of(queue, file));
      const std::uint64_t now = queue.completed_through();
      CHECK(now >= last);
      CHECK(now <= i + 1);
      CHECK(queue.running_requests() <= i + 1 - now);
      last = now;
    }
    while (const asioq::asio_request done = queue.wait()) CHECK(done.sequence() < queue.completed_through());
    CHECK(queue.completed_through() == 12);
    CHECK(queue.running_requests() == 0);
  });
}

TEST_CASE("an offset is a number below 2^63 or the position, never what a failed call returned", "[books][offset]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("0123456789");
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    asioq::asio_request request = queue.get();
    const auto failed = static_cast<std::uint64_t>(::lseek(pipe.read_end.get(), 0, SEEK_CUR));
    for (const std::uint64_t offset : {failed, std::uint64_t{1} << 63, (std::uint64_t{1} << 63) + 4096,
                                       ~std::uint64_t{0} - 4096, (std::uint64_t{1} << 63) - 2}) {
      CHECK_THROWS_AS(request.prepare_read(file.get(), 2, offset), std::invalid_argument);
      CHECK_THROWS_AS(request.prepare_write(file.get(), 2, offset), std::invalid_argument);
      CHECK_THROWS_AS(request.prepare_write_back(file.get(), 2, offset), std::invalid_argument);
      CHECK(request.op() == asioq::asio_op::free);
    }
    CHECK_NOTHROW(request.prepare_read(file.get(), 2, (std::uint64_t{1} << 63) - 3));
    request.prepare_read(file.get(), 4, asioq::current_position);
    CHECK(request.offset() == asioq::current_position);
    request = run(queue, std::move(request));
    CHECK(text_of(request.data()) == "0123");
    const std::uint64_t offset = request.offset();
    request.prepare_write(file.get(), 2, offset);  // what offset() returned can be prepared again
    CHECK(request.offset() == asioq::current_position);
    set_text(request, "ab");
    CHECK_FALSE(run(queue, std::move(request)).error());
    CHECK(contents(file) == "0123ab6789");
  });
}

TEST_CASE("a timed wait of no number, of none, of a negative or of endless time", "[books][timed]") {
  in_every_order([](asioq::execution_order order) {
    const auto body = [](const auto& world) {
      using seconds = std::chrono::duration<double>;
      const descriptor file = temp_file_with("abc");
      auto queue = world.queue({.buffer_size = 512});
      for (const double length :
           {std::numeric_limits<double>::quiet_NaN(), 0.0, -1.0, -1e300, -std::numeric_limits<double>::infinity(),
            1e300, std::numeric_limits<double>::infinity()}) {
        CHECK_FALSE(queue.wait_for(seconds(length)));  // nothing is running
        queue.submit(read_of(queue, file, 3, 0));
        asioq::asio_request done;
        while (!(done = queue.wait_for(seconds(length)))) std::this_thread::yield();
        CHECK(text_of(done.data()) == "abc");
      }
    };
    on_threaded_executors(order, body);
    on_io_executors(order, body);
  });
}
