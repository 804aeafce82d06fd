#include <asioq/detail/stream/look_ahead.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "catch.hpp"

using asioq::detail::look_ahead;

namespace {

/// As far ahead as it is told, with refills in halves.
class fixed_distance {
 public:
  explicit fixed_distance(std::size_t distance) : distance_(distance) {}
  [[nodiscard]] std::size_t distance() const { return distance_; }
  [[nodiscard]] std::size_t wanted(std::size_t ahead) const { return ahead > distance_ / 2 ? 0 : distance_ - ahead; }
  void read_ahead() {}
  void consumed(bool) {}

 private:
  std::size_t distance_;
};

/// A consumer that works on each block for some time, and a device that has any number of reads in flight.
struct scan {
  std::uint64_t waits = 0;       // blocks that it waited for
  std::uint64_t late_waits = 0;  // of these, in the second half
  std::uint64_t growths = 0;
  std::size_t farthest = 0;                   // largest distance
  std::size_t last = 0;                       // distance at the end
  std::optional<std::uint64_t> reached_most;  // how many blocks were consumed by then
};

template <class Policy, class Latency>
scan run(Policy policy, std::uint64_t blocks, std::uint64_t work, Latency latency, std::size_t most) {
  scan result;
  std::uint64_t now = 0;
  std::uint64_t next = 0;
  std::deque<std::uint64_t> window;  // when the reads end; the first is the one that the consumer wants
  const auto read = [&] { window.push_back(now + latency(next++)); };
  const auto refill = [&] {
    for (std::size_t wanted = policy.wanted(window.size() - 1); wanted > 0; --wanted) {
      policy.read_ahead();
      read();
    }
  };
  for (std::uint64_t i = 0; i < blocks; ++i) {
    if (window.empty()) read();
    refill();
    const bool waited = window.front() > now;
    now = std::max(now, window.front());
    if (waited) ++result.waits;
    if (waited && i >= blocks / 2) ++result.late_waits;
    const std::size_t before = policy.distance();
    policy.consumed(waited);
    if (policy.distance() > before) ++result.growths;
    result.farthest = std::max(result.farthest, policy.distance());
    if (!result.reached_most && policy.distance() == most) result.reached_most = i + 1;
    refill();
    now += work;
    window.pop_front();
  }
  result.last = policy.distance();
  return result;
}

/// The least distance at which the consumer waits for nothing but the first block, if it is at most `most`.
std::optional<std::size_t> optimum(std::uint64_t work, std::uint64_t latency, std::size_t most) {
  for (std::size_t distance = 0; distance <= most; ++distance) {
    const auto its = [latency](std::uint64_t) { return latency; };
    if (run(fixed_distance(distance), 1000, work, its, most).late_waits == 0) return distance;
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("the look-ahead finds the distance at which nothing waits, and at most twice that", "[look_ahead]") {
  constexpr std::size_t most = 64;
  for (const std::uint64_t work : {1U, 7U, 100U}) {
    for (std::uint64_t latency = 1; latency < 80 * work; latency += 1 + latency / 7) {
      const std::optional<std::size_t> best = optimum(work, latency, most);
      const auto its = [latency](std::uint64_t) { return latency; };
      const scan found = run(look_ahead(most), 20'000, work, its, most);
      INFO("work " << work << ", latency " << latency << ", optimum " << best.value_or(0));
      if (!best) {
        CHECK(found.last == most);
        continue;
      }
      CHECK(found.farthest <= std::max<std::size_t>(2 * *best, 1));
      // Decay probes for less. That costs a wait now and then.
      CHECK(found.late_waits <= 10'000 / most);
    }
  }
}

TEST_CASE("the look-ahead grows to its cap in as many steps as that has bits", "[look_ahead]") {
  for (const std::size_t most : {1U, 2U, 32U, 100U, 1024U}) {
    const scan found = run(look_ahead(most), 4 * most + 10, 0, [](std::uint64_t) { return 1000U; }, most);
    std::uint64_t bits = 0;
    while ((std::size_t{1} << bits) < most) ++bits;
    INFO("cap " << most);
    CHECK(found.growths == bits);
    REQUIRE((found.reached_most || most == 1));
    CHECK(found.reached_most.value_or(0) <= 2 * most);
    CHECK(found.last == most);
  }
}

TEST_CASE("the look-ahead reaches its cap where every other block is slow", "[look_ahead]") {
  for (const std::size_t most : {8U, 32U, 64U}) {
    for (const std::uint64_t slow : {0U, 1U}) {
      const auto its = [slow](std::uint64_t block) { return block % 2 == slow ? 1'000'000U : 1U; };
      const scan found = run(look_ahead(most), 8 * most, 1, its, most);
      INFO("cap " << most);
      CHECK(found.last == most);
      CHECK(found.farthest == most);
    }
  }
  // Whatever the distance: a wait, then none.
  look_ahead its(32);
  for (int i = 0; i < 64; ++i) its.consumed(i % 2 == 0);
  CHECK(its.distance() == 32);
}

TEST_CASE("the look-ahead shrinks only after a whole maximal window without a wait", "[look_ahead]") {
  constexpr std::size_t most = 32;
  look_ahead its(most);
  for (int i = 0; i < 200; ++i) its.consumed(true);
  REQUIRE(its.distance() == most);
  for (std::size_t i = 1; i < 2 * most; ++i) its.consumed(false);
  CHECK(its.distance() == most);
  its.consumed(true);
  for (std::size_t i = 1; i < 2 * most; ++i) its.consumed(false);
  CHECK(its.distance() == most);
  its.consumed(false);
  CHECK(its.distance() == 28);
  for (std::size_t i = 0; i < 40 * most; ++i) its.consumed(false);
  CHECK(its.distance() == 1);
}

TEST_CASE("the look-ahead follows a device that becomes faster, and one that becomes slower", "[look_ahead]") {
  constexpr std::size_t most = 64;
  const auto faster = [](std::uint64_t block) { return block < 1000 ? 3000U : 300U; };
  const scan first = run(look_ahead(most), 10'000, 100, faster, most);
  CHECK(first.farthest == most);
  CHECK(first.last <= 2 * optimum(100, 300, most).value());
  const auto slower = [](std::uint64_t block) { return block < 5000 ? 300U : 3000U; };
  const scan second = run(look_ahead(most), 10'000, 100, slower, most);
  CHECK(second.last >= optimum(100, 3000, most).value() * 7 / 8);
}

TEST_CASE("the look-ahead halves when more than a quarter of what it has read was thrown away", "[look_ahead]") {
  look_ahead its(32);
  for (int i = 0; i < 200; ++i) its.consumed(true);
  REQUIRE(its.distance() == 32);
  for (int i = 0; i < 64; ++i) its.read_ahead();
  its.thrown_away(8);
  CHECK(its.distance() == 32);  // a quarter of the window before this
  its.thrown_away(1);
  CHECK(its.distance() == 16);
  its.read_ahead();
  its.thrown_away(1);
  CHECK(its.distance() == 8);
  for (int i = 0; i < 32; ++i) its.consumed(true);
  CHECK(its.distance() == 8);  // not before a window
  its.consumed(true);
  CHECK(its.distance() == 16);
}

TEST_CASE("what was thrown away long ago does not count for the look-ahead", "[look_ahead]") {
  look_ahead its(32);
  for (int i = 0; i < 200; ++i) its.consumed(true);
  for (int i = 0; i < 60; ++i) its.read_ahead();
  its.thrown_away(15);
  for (int i = 0; i < 64 + 4; ++i) its.read_ahead();
  its.thrown_away(8);
  CHECK(its.distance() == 32);
}

TEST_CASE("a look-ahead for random places reads next to nothing ahead", "[look_ahead]") {
  for (const std::size_t run_length : {1U, 2U, 3U}) {
    look_ahead its(32);
    std::size_t read = 0;
    constexpr std::size_t seeks = 1000;
    for (std::size_t seek = 0; seek < seeks; ++seek) {
      std::size_t ahead = 0;
      for (std::size_t i = 0; i < run_length; ++i) {
        // After a seek the first block is not the next of a sequence.
        if (i != 0) its.consumed(ahead == 0);
        if (i != 0 && ahead != 0) --ahead;
        for (std::size_t wanted = its.wanted(ahead); wanted > 0; --wanted) {
          its.read_ahead();
          ++ahead;
          ++read;
        }
      }
      if (ahead != 0) its.thrown_away(ahead);
    }
    INFO("runs of " << run_length);
    CHECK(read <= seeks * run_length / 4);
  }
}

TEST_CASE("a look-ahead that may read nothing ahead does not", "[look_ahead]") {
  look_ahead its(0);
  for (int i = 0; i < 100; ++i) its.consumed(i % 3 == 0);
  CHECK(its.distance() == 0);
  CHECK(its.wanted(0) == 0);
}
