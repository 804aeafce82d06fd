#include <asioq/asioq.hpp>
#include <asioq/testing/faults.hpp>
#include <asioq/testing/simulated_disk.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <fcntl.h>

#include <cerrno>
#include <map>
#include <string>
#include <utility>

#include "catch.hpp"
#include "files.hpp"
#include "own_step.hpp"
#include "requests.hpp"

using asioq::asio_op;
using asioq::testing::faults;
using asioq::testing::simulated_disk;
using namespace asioq_test;

namespace {

const asioq::testing::disk_options obedient{.short_transfers = 0, .interruptions = 0};

}  // namespace

TEST_CASE("faults come at their rates, by their seed", "[testing]") {
  const auto run = [](std::uint64_t seed) {
    simulated_disk disk{obedient};
    faults flawed{disk.executor(),
                  {.seed = seed,
                   .errors = 0.25,
                   .error = std::errc::no_space_on_device,
                   .short_transfers = 0.25,
                   .interruptions = 0.25,
                   .unit = 4}};
    const int fd = disk.open("a");
    std::map<std::int64_t, int> count;
    for (int i = 0; i < 1000; ++i) ++count[carry_out(flawed.executor(), asio_op::write, fd, "0123456789", 0U)];
    return count;
  };
  std::map<std::int64_t, int> count = run(1);
  CHECK(count == run(1));
  CHECK(count != run(2));
  CHECK(count.size() == 5);
  CHECK(std::abs(count[-ENOSPC] - 250) < 60);
  CHECK(std::abs(count[-EINTR] - 187) < 60);
  CHECK(std::abs(count[4] + count[8] - 140) < 60);  // in the unit
  CHECK(count[4] > 0);
  CHECK(std::abs(count[10] - 422) < 60);
}

TEST_CASE("a failed operation has done nothing, and a close is left alone", "[testing]") {
  simulated_disk disk{obedient};
  faults flawed{disk.executor(), {.errors = 1}};
  const int fd = disk.open("a");
  CHECK(carry_out(flawed.executor(), asio_op::write, fd, "abc") == -EIO);
  CHECK(carry_out(flawed.executor(), asio_op::truncate, fd, std::uint64_t{0}, std::uint64_t{9}) == -EIO);
  CHECK(disk.contents("a").empty());
  CHECK(disk.now().count() == 0);
  CHECK(carry_out(flawed.executor(), asio_op::close, fd) == 0);
}

TEST_CASE("a short read at the current position would be the end of the file", "[testing]") {
  simulated_disk disk{obedient};
  faults flawed{disk.executor(), {.short_transfers = 1, .interruptions = 0}};
  const int fd = disk.open("a");
  CHECK(carry_out(flawed.executor(), asio_op::write, fd, "0123456789", 0U) < 10);
  CHECK(carry_out(disk.executor(), asio_op::write, fd, "0123456789", 0U) == 10);
  CHECK(carry_out(flawed.executor(), asio_op::read, fd, std::uint64_t{10}, std::uint64_t{0}) < 10);
  CHECK(carry_out(flawed.executor(), asio_op::read, fd, std::uint64_t{10}) == 10);
}

#ifdef ASIOQ_TEST_URING
TEST_CASE("a queue gets over short transfers and interruptions of a real engine", "[testing]") {
  if (!asioq::uring_context::available()) return;
  asioq::uring_context ring{8};
  faults flawed{ring.executor(), {.short_transfers = 0.5, .interruptions = 0.5}};
  asioq::basic_asio_queue<decltype(flawed)::executor_type> queue{
      flawed.executor(), {.buffer_size = 1000, .order = asioq::execution_order::as_if_serial}};
  const descriptor file = temp_file();
  std::string text;
  for (std::uint64_t i = 0; i < 50; ++i) {
    text += std::string(1000, static_cast<char>('a' + i % 26));
    queue.submit(write_of(queue, file, text.substr(text.size() - 1000), i * 1000));
  }
  for (const outcome& its : drain(queue)) CHECK(its.bytes == 1000);
  CHECK(contents(file) == text);
}
#endif
