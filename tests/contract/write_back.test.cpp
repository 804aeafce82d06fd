#include "catch.hpp"
#include "every_executor.hpp"
#include "faults.hpp"
#include "requests.hpp"

#include <atomic>

using namespace asioq_test;

TEST_CASE("no more write-backs run than the queue allows", "[write_back][throttle]") {
  on_every_executor([](const auto& world) {
    for (const std::size_t most : {1U, 2U, 16U}) {
      const descriptor file = temp_file();
      auto queue = world.queue({.buffer_size = 4096, .max_writebacks = most});
      std::size_t too_many = 0;
      std::string expected;
      for (unsigned i = 0; i < 150; ++i) {
        const std::string text = pattern(500, i);
        expected += text;
        queue.submit(write_back_of(queue, file, text));
        too_many += queue.running_writebacks() > most ? 1 : 0;
      }
      queue.sync();
      CHECK(too_many == 0);
      CHECK(queue.running_writebacks() == 0);
      CHECK(queue.running_requests() == 0);
      CHECK((contents(file) == expected));
    }
  });
}

TEST_CASE("write-backs get room whatever the caller holds", "[write_back][throttle]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 1});
    std::vector<asioq::asio_request> held;
    std::string expected;
    for (int i = 0; i < 40; ++i) {
      held.push_back(queue.get());
      queue.submit(read_of(queue, file, 1, 0));  // finished ones that are not collected
      expected += std::to_string(i);
      queue.submit(write_back_of(queue, file, std::to_string(i)));
    }
    queue.sync();
    CHECK(queue.running_writebacks() == 0);
    CHECK(contents(file) == expected);
    held.clear();
    CHECK(drain(queue).size() == 40);
  });
}

TEST_CASE("many queues with room for one write-back each share an executor", "[write_back][throttle]") {
  on_every_executor([](const auto& world) {
    using queue_type = decltype(world.queue());
    const asioq::queue_options options{.buffer_size = 512, .max_writebacks = 1};
    std::vector<descriptor> files;
    std::vector<std::unique_ptr<queue_type>> queues;
    for (int i = 0; i < 20; ++i) {
      files.push_back(temp_file());
      queues.push_back(std::make_unique<queue_type>(world.executor, options));
    }
    std::string expected;
    for (int step = 0; step < 20; ++step) {
      expected += std::to_string(step);
      for (std::size_t i = 0; i < files.size(); ++i)
        queues[i]->submit(write_back_of(*queues[i], files[i], std::to_string(step)));
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
      queues[i]->sync();
      CHECK(contents(files[i]) == expected);
    }
  });
}

TEST_CASE("write-backs get room while all workers are stuck in a read of other queues", "[write_back][throttle]") {
  on_every_threaded_executor([](const auto& world) {
    using queue_type = decltype(world.queue());
    const pipe_ends pipe;
    std::vector<std::unique_ptr<queue_type>> stuck;
    for (int i = 0; i < 8; ++i) {
      stuck.push_back(std::make_unique<queue_type>(world.executor, asioq::queue_options{.buffer_size = 512}));
      stuck.back()->submit(read_of(*stuck.back(), pipe.read_end, 1));
    }
    const descriptor file = temp_file();
    std::string expected;
    {
      auto queue = world.queue({.buffer_size = 512, .max_writebacks = 1});
      for (int i = 0; i < 30; ++i) {
        expected += std::to_string(i);
        queue.submit(write_back_of(queue, file, std::to_string(i)));
      }
      CHECK(run(queue, read_of(queue, file, 2, 0)).bytes_transferred() == 2);
      queue.submit(write_back_of(queue, file, "the destructor's"));
    }
    CHECK(contents(file) == expected + "the destructor's");
    pipe.put("12345678");
    for (auto& one : stuck) CHECK(one->wait().bytes_transferred() == 1);
  });
}

TEST_CASE("a submit without room waits for it", "[write_back][throttle]") {
  on_every_executor([](const auto& world) {
    const pipe_ends pipe;
    const std::string block(pipe.shrink(), 'x');
    pipe.put(block);  // now it is full
    std::atomic<bool> reading = false;
    auto queue = world.queue({.buffer_size = block.size(), .max_writebacks = 2});
    std::atomic<int> submitted = 0;
    std::thread reader([&] {
      if (world.has_threads) {
        while (submitted < 2) std::this_thread::yield();
      }
      reading = true;
      for (int i = 0; i < 4; ++i) static_cast<void>(pipe.take(block.size()));
    });
    bool waited = false;
    std::size_t running = 0;
    for (int i = 0; i < 3; ++i) {
      queue.submit(write_back_of(queue, pipe.write_end, block));
      ++submitted;
      if (i == 2) waited = reading;
      running = std::max(running, queue.running_writebacks());
    }
    queue.sync();
    reader.join();
    CHECK(waited);
    CHECK(running <= 2);
  });
}

TEST_CASE("a failed write-back comes back with its error and its data", "[write_back][failure]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    int mine = 0;
    asioq::asio_request request = write_back_of(queue, full, "precious");
    request.set_user_data(&mine);
    queue.submit(write_back_of(queue, file, "first", 0));
    queue.submit(std::move(request));
    queue.submit(read_of(queue, file, 5, 0));
    asioq::asio_request failed = queue.wait();
    REQUIRE(failed);
    CHECK(failed.op() == asioq::asio_op::write_back);
    CHECK(failed.sequence() == 1);
    CHECK(failed.error() == std::errc::no_space_on_device);
    CHECK(failed.bytes_transferred() == 0);
    CHECK(failed.length() == 8);
    CHECK(failed.fd() == full.get());
    CHECK(failed.offset() == asioq::current_position);
    CHECK(failed.user_data() == &mine);
    CHECK(text_of(failed.buffer().first(8)) == "precious");
    CHECK(text_of(queue.wait().data()) == "first");

    failed.prepare_write_back(file.get(), 8, 0);
    queue.submit(std::move(failed));
    CHECK_FALSE(queue.wait());
    CHECK(contents(file) == "precious");
  });
}

TEST_CASE("a failed write-back can be submitted again as it is", "[write_back][failure]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 8192});
    const std::string text = pattern(8192);
    asioq::asio_request failed;
    {
      const file_size_limit limit(4096);
      failed = run(queue, write_back_of(queue, file, text, 0));
    }
    REQUIRE(failed);
    CHECK(failed.error() == std::errc::file_too_large);
    CHECK(failed.bytes_transferred() == 4096);
    queue.submit(std::move(failed));
    queue.sync();
    CHECK_FALSE(queue.wait());
    CHECK((contents(file) == text));
  });
}

TEST_CASE("sync throws until the failed write-back is collected", "[write_back][failure]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(write_back_of(queue, full, "one", 4096));
    for (int i = 0; i < 2; ++i) {
      try {
        queue.sync();
        FAIL("sync did not throw");
      } catch (const asioq::write_back_error& error) {
        CHECK(error.code() == std::errc::no_space_on_device);
        CHECK(error.fd() == full.get());
        CHECK(error.offset() == 4096);
        CHECK(error.length() == 3);
      }
      CHECK(queue.running_requests() == 0);
    }
    CHECK(text_of(queue.wait().buffer().first(3)) == "one");
    CHECK_NOTHROW(queue.sync());
    CHECK_FALSE(queue.wait());
  });
}

TEST_CASE("of several failed write-backs, the oldest that is not collected is named", "[write_back][failure]") {
  on_every_threaded_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(read_of(queue, pipe.read_end, 1));  // what follows waits for it
    for (std::uint64_t i = 0; i < 3; ++i) queue.submit(write_back_of(queue, full, "x", i));
    pipe.put("x");
    CHECK_THROWS_AS(queue.sync(), asioq::write_back_error);
    CHECK(queue.wait().op() == asioq::asio_op::read);
    for (std::uint64_t i = 0; i < 3; ++i) {
      try {
        queue.sync();
        FAIL("sync did not throw");
      } catch (const asioq::write_back_error& error) {
        CHECK(error.offset() == i);
      }
      CHECK(queue.wait().offset() == i);
    }
    CHECK_NOTHROW(queue.sync());
  });
}

TEST_CASE("no further write-back is taken while a failed one is not collected", "[write_back][failure]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(write_back_of(queue, full, "lost", 77));
    REQUIRE_THROWS_AS(queue.sync(), asioq::write_back_error);
    asioq::asio_request next = write_back_of(queue, file, "next", 0);
    for (int i = 0; i < 2; ++i) {
      try {
        queue.submit(std::move(next));
        FAIL("submit did not throw");
      } catch (const asioq::write_back_error& error) {
        CHECK(error.code() == std::errc::no_space_on_device);
        CHECK(error.offset() == 77);
        CHECK(error.length() == 4);
        CHECK(error.fd() == full.get());
      }
      REQUIRE(next);
      CHECK(next.op() == asioq::asio_op::write_back);
      CHECK(next.length() == 4);
      CHECK(text_of(next.buffer().first(4)) == "next");
      CHECK(queue.running_requests() == 0);
      CHECK(queue.running_writebacks() == 0);
    }
    queue.submit(write_of(queue, file, "plain", 0));  // others are taken
    CHECK(queue.wait().error());
    CHECK(queue.wait().sequence() == 1);
    CHECK_NOTHROW(queue.submit(std::move(next)));
    queue.sync();
    CHECK(contents(file) == "nextn");
  });
}

TEST_CASE("a submit that waited for room notices the failure that made it", "[write_back][failure]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 1});
    queue.submit(write_back_of(queue, full, "one"));
    asioq::asio_request next = write_back_of(queue, full, "two");
    CHECK_THROWS_AS(queue.submit(std::move(next)), asioq::write_back_error);
    CHECK(next);
    CHECK(queue.wait().sequence() == 0);
    queue.submit(std::move(next));
    CHECK(queue.wait().sequence() == 1);
  });
}

TEST_CASE("every further write-back is refused, however the failure shows", "[write_back][failure]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512, .on_lost_failure = [](asioq::asio_request&) {}});
    asioq::asio_request next = write_back_of(queue, full, "two");  // nothing but submit may have to notice
    queue.submit(write_back_of(queue, full, "one"));
    if (!world.has_threads && world.pump == nullptr && queue.running_requests() != 0) return;  // it has not failed yet
    while (queue.running_requests() != 0) world.nudge();
    CHECK_THROWS_AS(queue.submit(std::move(next)), asioq::write_back_error);
    CHECK(next);
    CHECK(queue.wait().sequence() == 0);
  });
}

TEST_CASE("failed write-backs leave room for as many as before", "[write_back][failure][throttle]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 2});
    for (int i = 0; i < 20; ++i) {
      queue.submit(write_back_of(queue, full, "x"));
      const asioq::asio_request failed = queue.wait();
      REQUIRE(failed);
      REQUIRE(queue.running_writebacks() == 0);
    }
    CHECK(queue.allocated_requests() == 0);
    CHECK(queue.idle_requests() <= 2);
  });
}

TEST_CASE("a plain write's error comes with its handle only", "[write][failure]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(write_of(queue, full, "x"));
    CHECK_NOTHROW(queue.sync());
    CHECK_NOTHROW(queue.submit(write_back_of(queue, file, "y", 0)));
    CHECK_NOTHROW(queue.sync());
    CHECK(queue.wait().error() == std::errc::no_space_on_device);
    CHECK_FALSE(queue.wait());
    CHECK(contents(file) == "y");
  });
}
