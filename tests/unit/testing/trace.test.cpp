#include <asioq/asioq.hpp>
#include <asioq/testing/faults.hpp>
#include <asioq/testing/simulated_disk.hpp>
#include <asioq/testing/trace.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>

#include "catch.hpp"
#include "files.hpp"
#include "own_step.hpp"
#include "requests.hpp"

using asioq::asio_op;
using asioq::testing::faults;
using asioq::testing::simulated_disk;
using asioq::testing::trace;
using namespace asioq_test;
using namespace std::chrono_literals;

TEST_CASE("a trace has an event for each operation", "[testing]") {
  asioq::testing::disk_options options{.reorders = false, .short_transfers = 0, .interruptions = 0};
  options.latency = {.fixed = 10us, .per_kibibyte = 0us, .sync = 500ns, .jitter = 0us};
  simulated_disk disk{options};
  std::ostringstream out;
  {
    trace traced{disk.executor(), out, [&] { return disk.now(); }};
    const auto executor = traced.executor();
    const int fd = disk.open("a");
    own_step first(asio_op::write, fd, "abc", 7);
    own_step second(asio_op::fsync, fd);
    executor.start(first);
    executor.start(second);
    while (disk.in_flight() > 0) executor.wait_until(std::chrono::steady_clock::time_point::max());
    carry_out(executor, asio_op::read, -1, std::uint64_t{5}, std::uint64_t{0});
  }
  CHECK(out.str() ==
        "[\n"
        R"({"name":"write","ph":"X","pid":1,"tid":1,"ts":0.000,"dur":10.000,)"
        R"("args":{"fd":1000000,"offset":7,"length":3,"outcome":3}},)"
        "\n"
        R"({"name":"fsync","ph":"X","pid":1,"tid":2,"ts":0.000,"dur":10.500,)"
        R"("args":{"fd":1000000,"offset":0,"at_position":true,"length":0,"outcome":0}},)"
        "\n"
        R"({"name":"read","ph":"X","pid":1,"tid":1,"ts":10.500,"dur":10.000,)"
        R"("args":{"fd":-1,"offset":0,"length":5,"outcome":-9}})"
        "\n]\n");
}

TEST_CASE("an empty trace is one, too, and a stream that fails does no harm", "[testing]") {
  simulated_disk disk;
  std::ostringstream out;
  {
    const trace traced{disk.executor(), out};
  }
  CHECK(out.str() == "[]\n");
  out.exceptions(std::ios::failbit | std::ios::badbit);
  CHECK_THROWS(out.setstate(std::ios::badbit));
  trace traced{disk.executor(), out};
  CHECK(carry_out(traced.executor(), asio_op::close, disk.open("a")) == 0);
}

TEST_CASE("filters go around filters", "[testing]") {
  simulated_disk disk;
  std::ostringstream inner_lines;
  std::ostringstream outer_lines;
  {
    trace inner{disk.executor(), inner_lines, [&] { return disk.now(); }};
    faults flawed{inner.executor(), {.short_transfers = 0, .interruptions = 0.5}};
    trace outer{flawed.executor(), outer_lines, [&] { return disk.now(); }};
    asioq::basic_asio_queue<decltype(outer)::executor_type> queue{
        outer.executor(), {.buffer_size = 1000, .order = asioq::execution_order::as_if_serial}};
    const int fd = disk.open("a");
    for (std::uint64_t i = 0; i < 100; ++i) {
      asioq::asio_request request = queue.get();
      request.prepare_write(fd, 10, 10 * i);
      queue.submit(std::move(request));
    }
    while (queue.wait()) {
    }
  }
  const auto lines_of = [](const std::ostringstream& out) { return std::ranges::count(out.str(), '\n'); };
  CHECK(disk.contents("a").size() == 1000);
  CHECK(lines_of(outer_lines) > lines_of(inner_lines) + 50);
}

#ifdef ASIOQ_TEST_URING
TEST_CASE("a trace of a real engine", "[testing]") {
  if (!asioq::uring_context::available()) return;
  std::ostringstream out;
  {
    asioq::uring_context ring{8};
    trace traced{ring.executor(), out};
    asioq::basic_asio_queue<decltype(traced)::executor_type> queue{traced.executor(), {.buffer_size = 1000}};
    const descriptor file = temp_file();
    queue.submit(write_of(queue, file, "abc", 0));
    queue.submit(fsync_of(queue, file));
    CHECK(drain(queue).size() == 2);
  }
  CHECK(std::ranges::count(out.str(), '\n') == 4);
  CHECK(out.str().find(R"("outcome":3})") != std::string::npos);
}
#endif
