#include <asioq/testing/detail/filter.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <poll.h>

#include <cerrno>
#include <chrono>
#include <new>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "own_step.hpp"

using asioq::asio_op;
using asioq::testing::simulated_disk;
using asioq_test::carry_out;
using asioq_test::own_step;

namespace {

constexpr auto forever = std::chrono::steady_clock::time_point::max();

/// Keeps what it is told to keep, and passes on the rest.
template <asioq::io_executor Inner>
struct keeper : asioq::testing::detail::filter<Inner, keeper<Inner>> {
  using base = asioq::testing::detail::filter<Inner, keeper>;
  using typename base::step;
  explicit keeper(Inner inner) : base(inner) {}

  void arrived(step& its) {
    if (refuses) throw std::bad_alloc();
    keeps ? kept.push_back(&its) : base::pass(its);
  }
  void release() {
    if (keeps) return;
    for (step* const its : std::exchange(kept, {})) base::pass(*its);
  }
  [[nodiscard]] std::chrono::steady_clock::time_point next_release() const noexcept {
    return kept.empty() ? forever : std::chrono::steady_clock::time_point{};
  }
  [[nodiscard]] bool withdraw(step& its) noexcept { return std::erase(kept, &its) > 0; }

  bool keeps = false;
  bool refuses = false;
  std::vector<step*> kept;
};

/// An engine without any of the optional functions.
struct plain_executor {
  std::vector<asioq::io_operation*>* held;
  void start(asioq::io_operation& operation) const { held->push_back(&operation); }
  void poll() const {
    if (held->empty()) return;
    asioq::io_operation& operation = *held->back();
    held->pop_back();
    operation.complete(0);
  }
  void wait_until(std::chrono::steady_clock::time_point) const { poll(); }
  bool operator==(const plain_executor&) const = default;
};

using on_disk = keeper<simulated_disk::executor_type>::executor_type;
using on_plain = keeper<plain_executor>::executor_type;

bool is_readable(int fd) {
  pollfd its{fd, POLLIN, 0};
  return ::poll(&its, 1, 0) == 1;
}

}  // namespace

TEST_CASE("a filter has those optional functions that the inner executor has", "[testing]") {
  STATIC_REQUIRE(asioq::io_executor<on_disk>);
  STATIC_REQUIRE(asioq::detail::describes_files<on_disk>);
  STATIC_REQUIRE(asioq::detail::has_native_handle<on_disk>);
  STATIC_REQUIRE(asioq::detail::keeps_readable<on_disk>);
  STATIC_REQUIRE(asioq::io_executor<on_plain>);
  STATIC_REQUIRE_FALSE(asioq::detail::has_describe<on_plain>);
  STATIC_REQUIRE_FALSE(asioq::detail::has_native_handle<on_plain>);
  STATIC_REQUIRE_FALSE(asioq::detail::keeps_readable<on_plain>);

  simulated_disk disk;
  keeper filter(disk.executor());
  const int fd = disk.open("a");
  CHECK(filter.executor() == filter.executor());
  CHECK(filter.executor().describe(fd).identity == disk.executor().describe(fd).identity);
  CHECK(filter.executor().native_handle() == disk.executor().native_handle());
}

TEST_CASE("a filter around one that can do little", "[testing]") {
  std::vector<asioq::io_operation*> held;
  keeper filter(plain_executor{&held});
  own_step step(asio_op::fsync, 1);
  filter.executor().start(step);
  filter.executor().cancel(step);  // goes on
  CHECK(held.size() == 1);
  filter.executor().poll();
  CHECK(step.outcome == 0);
}

TEST_CASE("what a filter has kept is cancelled there, and the rest by the inner executor", "[testing]") {
  asioq::testing::disk_options options{.short_transfers = 0, .interruptions = 0};
  options.latency.depth = 1;
  options.reorders = false;
  simulated_disk disk{options};
  keeper filter(disk.executor());
  const auto executor = filter.executor();
  const int fd = disk.open("a");
  own_step begun(asio_op::write, fd, "a", 0);
  own_step waiting(asio_op::write, fd, "b", 1);
  own_step kept(asio_op::write, fd, "c", 2);
  executor.start(begun);
  executor.poll();
  executor.start(waiting);
  filter.keeps = true;
  executor.start(kept);
  executor.cancel(waiting);
  executor.cancel(kept);
  executor.cancel(kept);  // once more, it makes no difference
  while (!(begun.outcome && waiting.outcome && kept.outcome)) executor.wait_until(forever);
  CHECK(begun.outcome == 1);
  CHECK(waiting.outcome == -ECANCELED);
  CHECK(kept.outcome == -ECANCELED);
  CHECK(kept.completions == 1);
  CHECK(disk.contents("a").size() == 1);
}

TEST_CASE("the descriptor is readable while a filter has kept something", "[testing]") {
  simulated_disk disk;
  keeper filter(disk.executor());
  const auto executor = filter.executor();
  const int handle = executor.native_handle();
  CHECK_FALSE(is_readable(handle));
  filter.keeps = true;
  own_step step(asio_op::close, disk.open("a"));
  executor.start(step);
  CHECK(disk.in_flight() == 0);
  CHECK(is_readable(handle));
  filter.keeps = false;
  executor.wait_until(forever);
  CHECK(step.outcome == 0);
  CHECK_FALSE(is_readable(handle));
  executor.keep_readable(true);
  CHECK(is_readable(handle));
  executor.keep_readable(false);
}

TEST_CASE("a wait ends with what is answered, and waits for nothing else", "[testing]") {
  std::vector<asioq::io_operation*> held;
  keeper filter(plain_executor{&held});
  own_step passed(asio_op::fsync, 1);
  own_step kept(asio_op::fsync, 1);
  filter.executor().start(passed);
  filter.keeps = true;
  filter.executor().start(kept);
  filter.executor().cancel(kept);
  filter.executor().wait_until(forever);
  CHECK(kept.outcome == -ECANCELED);
  CHECK(held.size() == 1);
  filter.executor().wait_until(forever);
  CHECK(passed.outcome == 0);
}

TEST_CASE("the descriptor is readable until the answer has been taken", "[testing]") {
  simulated_disk disk;
  keeper filter(disk.executor());
  const int handle = filter.executor().native_handle();
  filter.keeps = true;
  own_step kept(asio_op::fsync, disk.open("a"));
  filter.executor().start(kept);
  filter.executor().cancel(kept);
  CHECK(is_readable(handle));
  filter.executor().wait_until(forever);
  CHECK(kept.outcome == -ECANCELED);
  CHECK_FALSE(is_readable(handle));
}

TEST_CASE("a filter that refuses has taken nothing", "[testing]") {
  simulated_disk disk;
  keeper filter(disk.executor());
  filter.refuses = true;
  own_step step(asio_op::close, disk.open("a"));
  CHECK_THROWS_AS(filter.executor().start(step), std::bad_alloc);
  filter.executor().poll();
  filter.executor().wait_until(forever);
  CHECK_FALSE(step.outcome.has_value());
  filter.refuses = false;
  CHECK(carry_out(filter.executor(), step) == 0);
}
