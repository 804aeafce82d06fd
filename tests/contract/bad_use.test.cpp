#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <limits>

using namespace asioq_test;
using bad = std::invalid_argument;

TEST_CASE("options out of range are refused", "[bad_use]") {
  on_every_executor([](const auto& world) {
    CHECK_THROWS_AS(world.queue({.buffer_size = 0}), bad);
    CHECK_THROWS_AS(world.queue({.max_writebacks = 0}), bad);
    CHECK_THROWS_AS(world.queue({.max_in_flight = 0}), bad);
    CHECK_NOTHROW(world.queue({.buffer_size = 1, .max_writebacks = 1, .max_in_flight = 1}));
  });
}

TEST_CASE("a limit on write-backs that cannot be reached is no limit, or refused", "[bad_use][write_back]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    for (const std::size_t most : {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() / 2,
                                   std::size_t{1} << 32, (std::size_t{1} << 31) + 1}) {
      try {
        auto queue = world.queue({.buffer_size = 512, .max_writebacks = most});
        for (std::uint64_t i = 0; i < 40; ++i) queue.submit(write_back_of(queue, file, "x", i));
        CHECK_NOTHROW(queue.sync());
      } catch (const bad&) {
        SUCCEED();
      }
    }
  });
}

TEST_CASE("a submit of what cannot be submitted is refused and changes nothing", "[bad_use]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    auto other = world.queue({.buffer_size = 512});

    asioq::asio_request empty;
    CHECK_THROWS_AS(queue.submit(std::move(empty)), bad);
    asioq::asio_request unprepared = queue.get();
    CHECK_THROWS_AS(queue.submit(std::move(unprepared)), bad);
    CHECK(unprepared);
    asioq::asio_request foreign = write_of(other, file, "mine", 0);
    CHECK_THROWS_AS(queue.submit(std::move(foreign)), bad);
    REQUIRE(foreign);
    asioq::asio_request foreign_write_back = write_back_of(other, file, "mine", 0);
    CHECK_THROWS_AS(queue.submit(std::move(foreign_write_back)), bad);
    REQUIRE(foreign_write_back);
    asioq::asio_request moved_to = std::move(unprepared);
    CHECK_THROWS_AS(queue.submit(std::move(unprepared)), bad);

    CHECK(queue.running_requests() == 0);
    CHECK(queue.running_writebacks() == 0);
    CHECK_FALSE(queue.wait());
    CHECK(contents(file).empty());
    CHECK(run(other, std::move(foreign)).bytes_transferred() == 4);
  });
}

TEST_CASE("a preparation that is wrong is refused and changes nothing", "[bad_use][request]") {
  on_every_executor([](const auto& world) {
    constexpr std::uint64_t last = std::numeric_limits<std::int64_t>::max();
    const descriptor file = temp_file();
    const int fd = file.get();
    auto queue = world.queue({.buffer_size = 512});
    asioq::asio_request request = queue.get();
    const auto prepare = [&](int kind, int its_fd, std::size_t length, std::uint64_t offset) {
      if (kind == 0) request.prepare_read(its_fd, length, offset);
      if (kind == 1) request.prepare_write(its_fd, length, offset);
      if (kind == 2) request.prepare_write_back(its_fd, length, offset);
    };
    request.prepare_write(fd, 7, 99);
    for (int kind = 0; kind < 3; ++kind) {
      CHECK_THROWS_AS(prepare(kind, -1, 1, 0), bad);
      CHECK_THROWS_AS(prepare(kind, std::numeric_limits<int>::min(), 1, 0), bad);
      CHECK_THROWS_AS(prepare(kind, fd, 513, 0), bad);
      CHECK_THROWS_AS(prepare(kind, fd, 513, asioq::current_position), bad);
      CHECK_THROWS_AS(prepare(kind, fd, std::numeric_limits<std::size_t>::max(), 0), bad);
      CHECK_THROWS_AS(prepare(kind, fd, 1, last), bad);
      CHECK_THROWS_AS(prepare(kind, fd, 512, last - 511), bad);
      CHECK_THROWS_AS(prepare(kind, fd, 0, last + 1), bad);
      CHECK_THROWS_AS(prepare(kind, fd, 1, asioq::current_position - 1), bad);
      CHECK(request.op() == asioq::asio_op::write);
      CHECK(request.fd() == fd);
      CHECK(request.length() == 7);
      CHECK(request.offset() == 99);
    }
    CHECK_THROWS_AS(request.prepare_fsync(-1), bad);
    CHECK_THROWS_AS(request.prepare_fdatasync(-1), bad);
    CHECK(request.op() == asioq::asio_op::write);
    for (int kind = 0; kind < 3; ++kind) {
      CHECK_NOTHROW(prepare(kind, fd, 512, last - 512));
      CHECK_NOTHROW(prepare(kind, fd, 0, last));
      CHECK_NOTHROW(prepare(kind, fd, 512, asioq::current_position));
    }
  });
}
