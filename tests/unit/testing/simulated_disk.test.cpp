#include <asioq/asioq.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <poll.h>

#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "own_step.hpp"
#include "requests.hpp"

using asioq::asio_op;
using asioq::current_position;
using asioq::testing::disk_options;
using asioq::testing::failed_sync;
using asioq::testing::simulated_disk;
using asioq_test::carry_out;
using asioq_test::own_step;
using asioq_test::text_of;
using disk_queue = asioq::basic_asio_queue<simulated_disk::executor_type>;
using namespace std::chrono_literals;

namespace {

constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
constexpr auto forever = std::chrono::steady_clock::time_point::max();

/// A disk that does what it is told.
disk_options obedient(std::uint64_t seed = 1) { return {.seed = seed, .short_transfers = 0, .interruptions = 0}; }

std::string text_on(const simulated_disk& disk, std::string_view name) { return text_of(disk.contents(name)); }

std::int64_t write(simulated_disk& disk, int fd, std::string_view text, std::uint64_t offset = current_position) {
  return carry_out(disk.executor(), asio_op::write, fd, text, offset);
}

std::int64_t sync(simulated_disk& disk, int fd) { return carry_out(disk.executor(), asio_op::fsync, fd); }

std::string read(simulated_disk& disk, int fd, std::uint64_t length, std::uint64_t offset = current_position) {
  own_step step(asio_op::read, fd, length, offset);
  carry_out(disk.executor(), step);
  return step.text();
}

bool is_readable(int fd) {
  pollfd its{fd, POLLIN, 0};
  return ::poll(&its, 1, 0) == 1;
}

}  // namespace

TEST_CASE("a descriptor of a simulated disk has a position, and files have names", "[testing]") {
  simulated_disk disk{obedient()};
  const int first = disk.open("a");
  const int second = disk.open("a");
  CHECK(first != second);
  CHECK(write(disk, first, "hello") == 5);
  CHECK(write(disk, first, " there") == 6);
  CHECK(read(disk, second, 7) == "hello t");
  CHECK(read(disk, second, 7) == "here");
  CHECK(read(disk, second, 7).empty());
  CHECK(read(disk, second, 3, 1) == "ell");
  CHECK(read(disk, second, 7).empty());  // an offset does not move the position
  CHECK(text_on(disk, "a") == "hello there");
  CHECK(disk.exists("a"));
  CHECK_FALSE(disk.exists("b"));
  CHECK(disk.contents("b").empty());
  CHECK_THROWS_AS(disk.open("b", {.creates = false}), std::system_error);
}

TEST_CASE("a descriptor that appends writes to the end, whatever the offset", "[testing]") {
  simulated_disk disk{obedient()};
  const int plain = disk.open("a");
  const int appending = disk.open("a", {.appends = true});
  write(disk, plain, "abc");
  CHECK(write(disk, appending, "d", 0) == 1);
  CHECK(write(disk, appending, "") == 0);
  CHECK(read(disk, appending, 2) == "ab");  // as with pwrite(2) and a write of nothing, the position has not moved
  CHECK(write(disk, appending, "e") == 1);
  CHECK(read(disk, appending, 2).empty());
  CHECK(text_on(disk, "a") == "abcde");
}

TEST_CASE("a simulated disk describes its files", "[testing]") {
  simulated_disk disk{obedient()};
  const auto executor = disk.executor();
  const int first = disk.open("a");
  const int same = disk.open("a", {.appends = true});
  const int other = disk.open("b");
  write(disk, first, "abc");
  CHECK(executor.describe(first).identity == executor.describe(same).identity);
  CHECK(executor.describe(first).identity != executor.describe(other).identity);
  CHECK(executor.describe(first).size == 3);
  CHECK_FALSE(executor.describe(first).is_stream);
  CHECK_FALSE(executor.describe(first).appends);
  CHECK(executor.describe(same).appends);
  for (const int nothing : {-1, 0, 3, other + 1}) {
    CHECK(executor.describe(nothing).is_stream);
    CHECK(executor.describe(nothing).identity != executor.describe(first).identity);
  }
}

TEST_CASE("truncate, allocate and close are as on a file", "[testing]") {
  simulated_disk disk{obedient()};
  const auto executor = disk.executor();
  const int fd = disk.open("a");
  write(disk, fd, "abcdef");
  CHECK(carry_out(executor, asio_op::truncate, fd, std::uint64_t{0}, std::uint64_t{2}) == 0);
  CHECK(text_on(disk, "a") == "ab");
  CHECK(carry_out(executor, asio_op::allocate, fd, std::uint64_t{2}, std::uint64_t{3}) == 0);
  CHECK(text_on(disk, "a") == std::string("ab\0\0\0", 5));
  CHECK(carry_out(executor, asio_op::allocate, fd, std::uint64_t{1}, std::uint64_t{0}) == 0);
  CHECK(disk.contents("a").size() == 5);
  CHECK(carry_out(executor, asio_op::close, fd) == 0);
  CHECK(carry_out(executor, asio_op::close, fd) == -EBADF);
  CHECK(write(disk, fd, "x", 0) == -EBADF);
  CHECK(disk.open("b") == fd);  // the lowest number that is free, as open(2) has it
  disk.close(fd);
  CHECK_THROWS_AS(disk.close(fd), std::system_error);
}

TEST_CASE("what is in flight when its descriptor is closed goes on", "[testing]") {
  simulated_disk disk{obedient()};
  const int fd = disk.open("a");
  own_step step(asio_op::write, fd, "abc", 0);
  disk.executor().start(step);
  disk.close(fd);
  CHECK(disk.open("b") == fd);
  disk.executor().wait_until(forever);
  CHECK(step.outcome == 3);
  CHECK(text_on(disk, "a") == "abc");
}

TEST_CASE("a close does not close what has got its number meanwhile", "[testing]") {
  simulated_disk disk{obedient()};
  const int fd = disk.open("a");
  own_step step(asio_op::close, fd);
  disk.executor().start(step);
  disk.close(fd);
  CHECK(disk.open("b") == fd);
  disk.executor().wait_until(forever);
  CHECK(step.outcome == -EBADF);
  CHECK(write(disk, fd, "x") == 1);
}

TEST_CASE("a simulated disk refuses misuse", "[testing]") {
  simulated_disk disk{obedient()};
  const auto executor = disk.executor();
  const int fd = disk.open("a");
  for (const std::uint64_t bad : {largest + 1, ~std::uint64_t{0}}) {
    CHECK(write(disk, fd, "x", bad) == -EINVAL);
    CHECK(carry_out(executor, asio_op::read, fd, std::uint64_t{1}, bad) == -EINVAL);
    CHECK(carry_out(executor, asio_op::truncate, fd, std::uint64_t{0}, bad) == -EINVAL);
    CHECK(carry_out(executor, asio_op::allocate, fd, std::uint64_t{1}, bad) == -EINVAL);
  }
  CHECK(write(disk, fd, "x", largest) == -EINVAL);
  CHECK(carry_out(executor, asio_op::allocate, fd, std::uint64_t{0}, std::uint64_t{0}) == -EINVAL);
  CHECK(carry_out(executor, asio_op::allocate, fd, largest, std::uint64_t{0}) == -ENOSPC);
  CHECK(carry_out(executor, asio_op::read, fd, std::uint64_t{1}, largest - 1) == 0);
  CHECK(carry_out(executor, asio_op::truncate, fd, std::uint64_t{0}, largest) == 0);
  CHECK(write(disk, fd, "x", largest - 1) == 1);
  CHECK(carry_out(executor, asio_op::truncate, fd, std::uint64_t{0}, std::uint64_t{0}) == 0);
  CHECK(carry_out(executor, asio_op::fsync, fd) == 0);
  CHECK(carry_out(executor, asio_op::fdatasync, 3) == -EBADF);
  CHECK(write(disk, fd, "", 0) == 0);
  CHECK_THROWS_AS(simulated_disk({.sector_size = 0}), std::invalid_argument);
  CHECK_THROWS_AS(simulated_disk({.direct_alignment = 0}), std::invalid_argument);
  CHECK_THROWS_AS(disk.fail_next(asio_op::free, std::errc::io_error), std::invalid_argument);
}

TEST_CASE("a disk with an alignment refuses other transfers, and cuts at its multiples", "[testing]") {
  simulated_disk disk{
      {.seed = 3, .capacity = 2048, .short_transfers = 0.5, .interruptions = 0, .direct_alignment = 64}};
  const int fd = disk.open("file");
  CHECK(disk.executor().describe(fd).alignment == 64);
  const std::string text(640, 'x');
  bool has_been_short = false;
  for (std::uint64_t i = 0; i < 50; ++i) {
    const std::int64_t count = write(disk, fd, text, 64 * i % 640);
    CHECK(count > 0);
    CHECK(count % 64 == 0);
    has_been_short = has_been_short || count < 640;
    CHECK(read(disk, fd, 640, 0).size() % 64 == 0);
  }
  CHECK(has_been_short);
  CHECK(write(disk, fd, text, 1) == -EINVAL);
  CHECK(write(disk, fd, text.substr(0, 63), 0) == -EINVAL);
  own_step step(asio_op::read, fd, 63, 0);
  CHECK(carry_out(disk.executor(), step) == -EINVAL);
  CHECK(carry_out(disk.executor(), asio_op::truncate, fd, "", 100U) == 0);
  CHECK(read(disk, fd, 640, 64).size() <= 36);  // a file may end anywhere
  disk.add({.file = "file", .offset = 100, .length = 1});
  CHECK(write(disk, fd, text, 64) == -EIO);
  CHECK(write(disk, fd, text, 0) == 64);
}

TEST_CASE("a full disk writes what fits", "[testing]") {
  simulated_disk disk{{.sector_size = 512, .capacity = 2048, .short_transfers = 0, .interruptions = 0}};
  const auto executor = disk.executor();
  const int fd = disk.open("a");
  const int other = disk.open("b");
  write(disk, other, "x");
  CHECK(write(disk, fd, std::string(2000, 'a'), 100) == 1536 - 100);
  CHECK(write(disk, fd, "a", 1536) == -ENOSPC);
  CHECK(write(disk, fd, "b", 0) == 1);  // has its place
  CHECK(write(disk, other, "y", 500) == 1);
  CHECK(carry_out(executor, asio_op::allocate, other, std::uint64_t{513}, std::uint64_t{0}) == -ENOSPC);
  CHECK(carry_out(executor, asio_op::truncate, fd, std::uint64_t{0}, std::uint64_t{100}) == 0);
  CHECK(carry_out(executor, asio_op::allocate, other, std::uint64_t{1536}, std::uint64_t{0}) == 0);
  CHECK(write(disk, fd, "a", 512) == -ENOSPC);
}

TEST_CASE("a queue on a full disk reports what was written and ENOSPC", "[testing]") {
  simulated_disk disk{{.capacity = 1024}};
  disk_queue queue{disk.executor(), {.buffer_size = 4096}};
  asioq::asio_request request = queue.get();
  request.prepare_write(disk.open("a"), 4096, 0);
  queue.submit(std::move(request));
  request = queue.wait();
  CHECK(request.error() == std::errc::no_space_on_device);
  CHECK(request.bytes_transferred() == 1024);
}

TEST_CASE("bad sectors fail by their place", "[testing]") {
  simulated_disk disk{obedient()};
  const int fd = disk.open("a");
  const int appending = disk.open("a", {.appends = true});
  write(disk, fd, std::string(100, 'a'));
  disk.add({.file = "a", .offset = 40, .length = 10, .reads = true, .writes = false});
  disk.add({.file = "a", .offset = 105, .reads = false, .error = std::errc::no_such_device});
  CHECK(read(disk, fd, 100, 0).size() == 40);
  CHECK(carry_out(disk.executor(), asio_op::read, fd, std::uint64_t{1}, std::uint64_t{40}) == -EIO);
  CHECK(carry_out(disk.executor(), asio_op::read, fd, std::uint64_t{1}, std::uint64_t{49}) == -EIO);
  CHECK(read(disk, fd, 100, 50).size() == 50);
  CHECK(write(disk, fd, "b", 40) == 1);
  CHECK(write(disk, appending, std::string(10, 'b')) == 5);
  CHECK(write(disk, appending, "b", 0) == -ENODEV);
  CHECK(write(disk, disk.open("b"), "b", 200) == 1);
  disk.heal();
  CHECK(write(disk, appending, "b") == 1);
}

TEST_CASE("a disk fails what it is told to, by number", "[testing]") {
  simulated_disk disk{obedient()};
  const int fd = disk.open("a");
  disk.fail_next(asio_op::write_back, std::errc::io_error);
  disk.fail_next(asio_op::write, std::errc::no_space_on_device, 1);
  disk.fail_next(asio_op::read, std::errc::interrupted);
  CHECK(sync(disk, fd) == 0);
  CHECK(write(disk, fd, "abc", 0) == -EIO);
  CHECK(write(disk, fd, "def", 0) == 3);
  CHECK(write(disk, fd, "ghi", 0) == -ENOSPC);
  CHECK(write(disk, fd, "g", 0) == 1);
  CHECK(text_on(disk, "a") == "gef");
  CHECK(carry_out(disk.executor(), asio_op::read, fd, std::uint64_t{1}) == -EINTR);
  CHECK(read(disk, fd, 9) == "gef");
  disk.fail_next(asio_op::close, std::errc::io_error);
  CHECK(carry_out(disk.executor(), asio_op::close, fd) == -EIO);
  CHECK(write(disk, fd, "x", 0) == -EBADF);  // it is closed, as on Linux
}

TEST_CASE("faults come at their rates", "[testing]") {
  simulated_disk disk{{.seed = 3, .short_transfers = 0.25, .interruptions = 0.25, .errors = 0.25}};
  const int fd = disk.open("a");
  std::map<std::int64_t, int> count;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t outcome = write(disk, fd, "0123456789", 0);
    ++count[outcome > 0 && outcome < 10 ? 1 : outcome];
  }
  CHECK(count.size() == 4);
  CHECK(std::abs(count[-EIO] - 250) < 60);
  CHECK(std::abs(count[-EINTR] - 187) < 60);
  CHECK(std::abs(count[1] - 140) < 60);
  CHECK(std::abs(count[10] - 422) < 60);
}

TEST_CASE("a close is not interrupted, a read at the position not short", "[testing]") {
  simulated_disk disk{{.seed = 3, .short_transfers = 1, .interruptions = 1}};
  CHECK(carry_out(disk.executor(), asio_op::close, disk.open("a")) == 0);
  simulated_disk other{{.seed = 3, .short_transfers = 1, .interruptions = 0}};
  const int fd = other.open("a");
  std::int64_t written = 0;
  while (written < 100) written += write(other, fd, std::string(10, 'a'));
  CHECK(read(other, other.open("a"), 100).size() == 100);
}

TEST_CASE("a disk completes in any order, by the seed, or in the order of the start", "[testing]") {
  const auto order_of = [](bool reorders, std::uint64_t seed, std::size_t depth) {
    disk_options options = obedient(seed);
    options.reorders = reorders;
    options.latency.depth = depth;
    simulated_disk disk{options};
    const int fd = disk.open("a");
    std::vector<std::unique_ptr<own_step>> steps;
    for (int i = 0; i < 8; ++i) {
      steps.push_back(std::make_unique<own_step>(asio_op::write, fd, "x", static_cast<std::uint64_t>(i)));
      disk.executor().start(*steps.back());
      CHECK_FALSE(steps.back()->outcome.has_value());
    }
    std::string order;
    while (disk.in_flight() > 0) {
      disk.executor().wait_until(forever);
      for (std::size_t i = 0; i < steps.size(); ++i)
        if (steps[i]->outcome && order.find(std::to_string(i)) == std::string::npos) order += std::to_string(i);
    }
    for (const auto& step : steps) CHECK(step->completions == 1);
    return order;
  };
  const std::size_t depth = GENERATE(1U, 3U, 32U);
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CHECK(order_of(false, seed, depth) == "01234567");
    CHECK(order_of(true, seed, depth) == order_of(true, seed, depth));
    orders.insert(order_of(true, seed, depth));
  }
  CHECK(orders.size() > 15);
}

TEST_CASE("virtual time goes on to the next completion, and a little in each poll", "[testing]") {
  disk_options options = obedient();
  options.latency = {.fixed = 100us, .per_kibibyte = 1us, .jitter = 0us, .depth = 2, .poll = 10us};
  options.reorders = false;
  simulated_disk disk{options};
  const auto executor = disk.executor();
  const int fd = disk.open("a");
  CHECK(disk.now() == 0us);
  executor.wait_until(forever);  // nothing is in flight: it comes back
  executor.wait_until({});
  CHECK(disk.now() == 0us);
  CHECK(write(disk, fd, std::string(2048, 'a'), 0) == 2048);
  CHECK(disk.now() == 102us);
  own_step one(asio_op::read, fd, "x", 0);
  own_step two(asio_op::read, fd, "x", 0);
  own_step three(asio_op::read, fd, "x", 0);
  for (own_step* const step : {&one, &two, &three}) executor.start(*step);
  int polls = 0;
  for (; !(one.outcome && two.outcome); ++polls) executor.poll();
  CHECK(polls == 11);
  CHECK_FALSE(three.outcome.has_value());
  executor.wait_until({});  // the deadline does not matter
  CHECK(three.outcome == 1);
  CHECK(disk.now() == 102us + 202us);
}

TEST_CASE("seeks take time by their distance", "[testing]") {
  disk_options options = obedient();
  options.latency = {.fixed = 1us, .per_kibibyte = 0us, .seek_per_mebibyte = 1ms, .longest_seek = 5ms, .jitter = 0us};
  simulated_disk disk{options};
  const int fd = disk.open("a");
  const auto time_of = [&](int its, std::uint64_t offset) {
    const auto before = disk.now();
    write(disk, its, "x", offset);
    return disk.now() - before;
  };
  CHECK(time_of(fd, 0) == 5001us);
  CHECK(time_of(fd, 1) == 1us);
  CHECK(time_of(fd, (2 << 20) + 2) == 2001us);
  CHECK(time_of(disk.open("b"), 0) == 5001us);
  CHECK(time_of(fd, 0) == 5001us);
}

TEST_CASE("what the device has not begun can be cancelled", "[testing]") {
  disk_options options = obedient();
  options.latency.depth = 1;
  options.reorders = false;
  simulated_disk disk{options};
  const auto executor = disk.executor();
  const int fd = disk.open("a");
  own_step begun(asio_op::write, fd, "a", 0);
  own_step waiting(asio_op::write, fd, "b", 1);
  executor.start(begun);
  executor.start(waiting);
  executor.poll();
  executor.cancel(begun);
  executor.cancel(waiting);
  CHECK_FALSE(waiting.outcome.has_value());
  executor.poll();
  CHECK(waiting.outcome == -ECANCELED);
  executor.wait_until(forever);
  CHECK(begun.outcome == 1);
  CHECK(text_on(disk, "a") == "a");
}

TEST_CASE("the descriptor is readable while anything is in flight", "[testing]") {
  simulated_disk disk{obedient()};
  const auto executor = disk.executor();
  own_step early(asio_op::fsync, disk.open("a"));
  executor.start(early);
  const int handle = executor.native_handle();
  CHECK(is_readable(handle));
  executor.wait_until(forever);
  CHECK_FALSE(is_readable(handle));
  executor.keep_readable(true);
  executor.keep_readable(true);
  executor.keep_readable(false);
  CHECK(is_readable(handle));
  executor.keep_readable(false);
  CHECK_FALSE(is_readable(handle));
  own_step late(asio_op::fsync, disk.open("a"));
  executor.start(late);
  CHECK(is_readable(handle));
  CHECK(executor.native_handle() == handle);
  executor.wait_until(forever);
}

TEST_CASE("an event loop serves two queues on one disk", "[testing]") {
  simulated_disk disk;
  disk_queue first{disk.executor(), {.order = asioq::execution_order::as_if_serial}};
  disk_queue second{disk.executor(), {}};
  const int handle = first.native_handle();
  CHECK(second.native_handle() == handle);
  const int fd = disk.open("a");
  for (std::uint64_t i = 0; i < 10; ++i) {
    for (disk_queue* const queue : {&first, &second}) {
      asioq::asio_request request = queue->get();
      asioq_test::set_text(request, queue == &first ? "a" : "b");
      request.prepare_write(fd, 1, queue == &first ? i : 10 + i);
      queue->submit(std::move(request));
    }
  }
  int returned = 0;
  while (is_readable(handle))
    for (disk_queue* const queue : {&first, &second})
      while (queue->try_wait()) ++returned;
  CHECK(returned == 20);
  CHECK(text_on(disk, "a") == "aaaaaaaaaabbbbbbbbbb");
}

TEST_CASE("a loop of try_wait comes to an end, and a timed wait waits in virtual time", "[testing]") {
  simulated_disk disk;
  disk_queue queue{disk.executor(), {}};
  asioq::asio_request request = queue.get();
  request.prepare_fsync(disk.open("a"));
  queue.submit(std::move(request));
  int polls = 0;
  for (; !request; ++polls) request = queue.try_wait();
  CHECK(polls > 100);
  queue.submit(std::move(request));
  CHECK(queue.wait_for(1h));
  CHECK_FALSE(queue.wait_for(1h));
}

TEST_CASE("a failed sync drops what was dirty, and the next one succeeds", "[testing]") {
  std::set<std::string> left;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    simulated_disk disk{obedient(seed)};
    const int fd = disk.open("a");
    sync(disk, fd);
    disk.fail_next(asio_op::fsync, std::errc::io_error);
    write(disk, fd, "abc");
    CHECK(sync(disk, fd) == -EIO);
    CHECK(sync(disk, fd) == 0);
    CHECK(text_on(disk, "a") == "abc");
    const std::string before = text_of(disk.synced_contents("a"));
    disk.crash();
    CHECK(text_on(disk, "a") == before);
    left.insert(before);
  }
  CHECK(left == std::set<std::string>{"", std::string(3, '\0'), "abc"});
}

TEST_CASE("a failed sync loses nothing where that is the mode, or if it was interrupted", "[testing]") {
  const bool is_interrupted = GENERATE(false, true);
  disk_options options = obedient();
  if (!is_interrupted) options.on_failed_sync = failed_sync::keeps_data;
  simulated_disk disk{options};
  const int fd = disk.open("a");
  write(disk, fd, "abc");
  disk.fail_next(asio_op::fdatasync, is_interrupted ? std::errc::interrupted : std::errc::io_error);
  CHECK(carry_out(disk.executor(), asio_op::fdatasync, fd) < 0);
  CHECK(disk.synced_contents("a").empty());
  CHECK(carry_out(disk.executor(), asio_op::fdatasync, fd) == 0);
  disk.crash();
  CHECK(text_on(disk, "a") == "abc");
}

TEST_CASE("after a power cut each sector has its old or its new content", "[testing]") {
  std::set<std::string> seen;
  std::set<std::size_t> sizes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    disk_options options = obedient(seed);
    options.sector_size = 4;
    simulated_disk disk{options};
    const int fd = disk.open("a");
    write(disk, fd, "aaaaaaaaaaaa");
    sync(disk, fd);
    write(disk, fd, "bbbbbbbb", 2);   // over three sectors
    write(disk, fd, "cccccccc", 20);  // and beyond the end
    const int other = disk.open("b");
    write(disk, other, "synced");
    sync(disk, other);
    disk.crash();
    CHECK(text_on(disk, "b") == "synced");
    const std::string text = text_on(disk, "a");
    sizes.insert(text.size());
    REQUIRE((text.size() == 12 || text.size() == 28));
    const auto part = [&](std::size_t at) { return text.substr(at, 4); };
    CHECK((part(0) == "aaaa" || part(0) == "aabb"));
    CHECK((part(4) == "aaaa" || part(4) == "bbbb"));
    CHECK((part(8) == "aaaa" || part(8) == "bbaa"));
    seen.insert(text.substr(0, 12));
    if (text.size() == 12) continue;
    CHECK(text.substr(12, 8) == std::string(8, '\0'));
    CHECK((part(20) == "cccc" || part(20) == std::string(4, '\0')));
    CHECK((part(24) == "cccc" || part(24) == std::string(4, '\0')));
  }
  CHECK(seen.size() == 8);  // all that can be
  CHECK(sizes.size() == 2);
}

TEST_CASE("a file that was never synced may be gone after a power cut", "[testing]") {
  int gone = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    simulated_disk disk{obedient(seed)};
    const int fd = disk.open("a");
    const asioq::file_identity before = disk.executor().describe(fd).identity;
    write(disk, fd, "abc");
    disk.crash();
    gone += disk.exists("a") ? 0 : 1;
    CHECK(disk.executor().describe(disk.open("a")).identity != before);
  }
  CHECK(gone > 20);
  CHECK(gone < 80);
}

TEST_CASE("what is in flight at a power cut ends with an error, done in part", "[testing]") {
  std::set<std::string> left;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    disk_options options = obedient(seed);
    options.sector_size = 2;
    options.latency.depth = 1;
    options.reorders = false;
    simulated_disk disk{options};
    const auto executor = disk.executor();
    const int fd = disk.open("a");
    write(disk, fd, "aaaa");
    sync(disk, fd);
    own_step begun(asio_op::write, fd, "bbbb", 2);
    own_step later(asio_op::write, fd, "cccc", 0);
    executor.start(begun);
    executor.start(later);
    executor.poll();
    disk.crash();
    left.insert(text_on(disk, "a"));
    CHECK(disk.in_flight() == 2);
    CHECK_FALSE(begun.outcome.has_value());
    while (disk.in_flight() > 0) executor.poll();
    CHECK(begun.outcome == -EIO);
    CHECK(later.outcome == -EIO);
    CHECK(write(disk, fd, "x", 0) == -EBADF);
    CHECK(disk.open("a") != fd);
  }
  const std::string zeros(2, '\0');
  CHECK(left == std::set<std::string>{"aaaa", "aabb", "aaaa" + zeros, "aabb" + zeros, "aaaabb", "aabbbb"});
}

TEST_CASE("a write in flight at a power cut may leave what was written before it", "[testing]") {
  std::set<std::string> left;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    simulated_disk disk{obedient(seed)};
    const int fd = disk.open("a");
    write(disk, fd, "a", 0);
    sync(disk, fd);
    write(disk, fd, "b", 0);
    own_step begun(asio_op::write, fd, "c", 0);
    disk.executor().start(begun);
    disk.executor().poll();
    disk.crash();
    disk.executor().poll();
    left.insert(text_on(disk, "a"));
  }
  CHECK(left == std::set<std::string>{"a", "b", "c"});
}

TEST_CASE("a write in flight beyond the end grows the file as a whole, or not at all", "[testing]") {
  std::set<std::size_t> sizes;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    simulated_disk disk{obedient(seed)};
    const int fd = disk.open("a");
    write(disk, fd, "aaaa");
    own_step begun(asio_op::write, fd, "bbbb", 1000);
    disk.executor().start(begun);
    disk.executor().poll();
    disk.crash();
    disk.executor().poll();
    sizes.insert(disk.contents("a").size());
  }
  CHECK(sizes == std::set<std::size_t>{0, 4, 1004});
}

TEST_CASE("the power fails in the middle of a program's calls", "[testing]") {
  simulated_disk disk{obedient()};
  const int fd = disk.open("a");
  disk.crash_after(2);
  CHECK(write(disk, fd, "abc") == 3);
  CHECK(sync(disk, fd) == 0);
  CHECK(disk.power_cuts() == 0);
  own_step third(asio_op::write, fd, "x", 0);
  own_step fourth(asio_op::write, fd, "y", 1);
  disk.executor().start(third);
  disk.executor().start(fourth);
  while (disk.in_flight() > 0) disk.executor().wait_until(forever);
  CHECK(third.outcome == -EIO);
  CHECK(fourth.outcome == -EIO);
  CHECK(disk.power_cuts() == 1);
  CHECK(write(disk, fd, "z") == -EBADF);
  CHECK(write(disk, disk.open("a"), "z", 3) == 1);
  CHECK(disk.power_cuts() == 1);
  disk.crash_after(7);
  disk.crash();  // instead of the one after that
  for (int i = 0; i < 9; ++i) CHECK(sync(disk, disk.open("a")) == 0);
  CHECK(disk.power_cuts() == 2);
}

TEST_CASE("a queue from before a power cut changes nothing afterwards", "[testing]") {
  simulated_disk disk{{.seed = 5}};
  int lost = 0;
  {
    disk_queue queue{disk.executor(), {.on_lost_failure = [&](asioq::asio_request&) { ++lost; }}};
    const int fd = disk.open("a");
    for (std::uint64_t i = 0; i < 3; ++i) {
      asioq::asio_request request = queue.get();
      request.prepare_write(fd, 1, i);
      queue.submit(std::move(request));
    }
    disk.crash();
    disk.open("a");
  }
  CHECK(lost == 3);
  CHECK(disk.contents("a").size() <= 1);
}

TEST_CASE("the same seed and the same calls give the same run", "[testing]") {
  const auto run = [](std::uint64_t seed) {
    simulated_disk disk{{.seed = seed, .errors = 0.1}};
    disk_queue queue{
        disk.executor(),
        {.buffer_size = 4096, .order = asioq::execution_order::as_if_serial, .on_lost_failure = [](auto&) {}}};
    const int fd = disk.open("log");
    for (std::uint64_t i = 0; i < 20; ++i) {
      asioq::asio_request request = queue.get();
      std::ranges::fill(request.buffer(), std::byte(i));
      if (i % 5 == 4)
        request.prepare_fsync(fd);
      else
        request.prepare_write(fd, 3000, i * 1000);
      queue.submit(std::move(request));
    }
    for (int i = 0; i < 15; ++i) static_cast<void>(queue.wait());
    disk.crash();
    std::string all = text_on(disk, "log");
    while (queue.wait()) {
    }
    for (const std::string& line : disk.log()) all += line + '\n';
    return all;
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}

TEST_CASE("a run is the same on every machine", "[testing]") {
  simulated_disk disk{{.seed = 7, .errors = 0.1}};
  const int fd = disk.open("log");
  const std::string data(2000, 'a');
  own_step first(asio_op::write, fd, data, 0);
  own_step second(asio_op::write, fd, data, 2000);
  own_step third(asio_op::write, fd, data, 4000);
  for (own_step* const step : {&first, &second, &third}) disk.executor().start(*step);
  while (disk.in_flight() > 0) disk.executor().wait_until(forever);
  sync(disk, fd);
  sync(disk, fd);
  write(disk, fd, data);
  own_step last(asio_op::write, fd, data, 4000);
  disk.executor().start(last);
  disk.executor().poll();
  disk.crash();
  disk.executor().poll();
  std::string text;
  for (const std::string& line : disk.log()) text += line + '\n';
  CHECK(text ==
        "0.000 us: open log as 1000000\n"
        "82.391 us: write log (1000000), 2000 bytes at 4000: 95, cut short\n"
        "113.072 us: write log (1000000), 2000 bytes at 0: EINTR\n"
        "117.736 us: write log (1000000), 2000 bytes at 2000: 2000\n"
        "717.751 us: fsync log (1000000): 0\n"
        "1308.916 us: fsync log (1000000): 0\n"
        "1424.681 us: write log (1000000), 2000 bytes: EINTR\n"
        "1425.681 us: power cut\n"
        "1425.681 us:   log has the new content of 0 of 0 sectors, and 4095 of 4095 bytes\n"
        "1425.681 us: write log (1000000), 2000 bytes at 4000: EIO\n");
}

TEST_CASE("a log is kept where it is wanted", "[testing]") {
  disk_options options = obedient();
  options.keeps_log = false;
  simulated_disk disk{options};
  write(disk, disk.open("a"), "abc");
  CHECK(disk.log().empty());
}
