#include <asioq/asioq.hpp>
#include <asioq/testing/delay.hpp>
#include <asioq/testing/simulated_disk.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <poll.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "files.hpp"
#include "own_step.hpp"
#include "requests.hpp"

using asioq::asio_op;
using asioq::testing::delay;
using asioq::testing::simulated_disk;
using namespace asioq_test;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

namespace {

const asioq::testing::disk_options obedient{.short_transfers = 0, .interruptions = 0};
constexpr auto forever = clock_type::time_point::max();

}  // namespace

TEST_CASE("an operation is held back for its time", "[testing]") {
  simulated_disk disk{obedient};
  delay late{disk.executor(), {.shortest = 5ms}};
  const int fd = disk.open("a");
  const auto begin = clock_type::now();
  own_step step(asio_op::write, fd, "abc");
  late.executor().start(step);
  late.executor().poll();
  CHECK(disk.in_flight() == 0);
  late.executor().wait_until(clock_type::time_point{});  // its deadline has passed
  while (!step.outcome) late.executor().wait_until(forever);
  CHECK(clock_type::now() - begin >= 5ms);
  CHECK(step.outcome == 3);
}

TEST_CASE("a wait for what is held back ends at its deadline", "[testing]") {
  simulated_disk disk{obedient};
  delay late{disk.executor(), {.shortest = 1h}};
  own_step step(asio_op::fsync, disk.open("a"));
  late.executor().start(step);
  late.executor().wait_until(clock_type::now() + 1ms);
  CHECK_FALSE(step.outcome.has_value());
  late.executor().cancel(step);
  late.executor().wait_until(forever);
  CHECK(step.outcome == -ECANCELED);
}

TEST_CASE("operations begin in another order if their times differ", "[testing]") {
  asioq::testing::disk_options options = obedient;
  options.reorders = false;
  simulated_disk disk{options};
  delay late{disk.executor(), {.shortest = 0ms, .longest = 2ms, .seed = 3}};
  const int fd = disk.open("a", {.appends = true});
  std::vector<std::unique_ptr<own_step>> steps;
  for (const char* const text : {"0", "1", "2", "3", "4", "5", "6", "7"}) {
    steps.push_back(std::make_unique<own_step>(asio_op::write, fd, text));
    late.executor().start(*steps.back());
  }
  for (const auto& step : steps)
    while (!step->outcome) late.executor().wait_until(forever);
  const std::string order = text_of(disk.contents("a"));
  CHECK(order.size() == 8);
  CHECK(order != "01234567");
}

#ifdef ASIOQ_TEST_URING
TEST_CASE("an event loop on a real engine comes to what was held back", "[testing]") {
  if (!asioq::uring_context::available()) return;
  asioq::uring_context ring{8};
  delay late{ring.executor(), {.shortest = 1ms}};
  asioq::basic_asio_queue<decltype(late)::executor_type> queue{late.executor(), {.buffer_size = 1000}};
  const descriptor file = temp_file();
  const int handle = queue.native_handle();
  queue.submit(write_of(queue, file, "abc", 0));
  asioq::asio_request done;
  for (pollfd its{handle, POLLIN, 0}; !done && ::poll(&its, 1, 10000) == 1;) done = queue.try_wait();
  REQUIRE(done);
  CHECK(done.bytes_transferred() == 3);
}
#endif
