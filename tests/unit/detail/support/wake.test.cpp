#include <asioq/detail/support/wake.hpp>

#include "catch.hpp"
#include "readiness.hpp"

#include <atomic>
#include <chrono>
#include <thread>

using asioq::detail::wake;
using asioq_test::is_readable;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

TEST_CASE("an owner that has not armed is not told", "[wake]") {
  wake its;
  CHECK_FALSE(its.is_armed());
  its.tell(100, true);
  its.tell_anyway();
  its.arm(1);
  CHECK(its.is_armed());
  const auto begin = steady_clock::now();
  its.sleep_until(begin + 2ms);  // there is no token from before
  CHECK(steady_clock::now() >= begin + 2ms);
  CHECK_FALSE(its.is_armed());
}

TEST_CASE("the owner is told when the target is reached, when something fails, or anyway", "[wake]") {
  wake its;
  its.arm(5);
  its.tell(4, false);
  CHECK(its.is_armed());
  SECTION("target") { its.tell(5, false); }
  SECTION("beyond the target") { its.tell(9, false); }
  SECTION("failure") { its.tell(2, true); }
  SECTION("anyway") { its.tell_anyway(); }
  CHECK_FALSE(its.is_armed());
  its.tell(10, true);  // only the first leaves a token
  its.sleep();
  its.arm(1);
  const auto begin = steady_clock::now();
  its.sleep_until(begin + 2ms);
  CHECK(steady_clock::now() >= begin + 2ms);
}

TEST_CASE("disarming takes the token that was on its way", "[wake]") {
  wake its;
  its.arm(5);
  its.tell(5, false);
  its.disarm();
  its.arm(6);
  its.disarm();
  its.arm(7);
  const auto begin = steady_clock::now();
  its.sleep_until(begin + 2ms);
  CHECK(steady_clock::now() >= begin + 2ms);
}

TEST_CASE("no wake-up is lost and none is left over, however the two meet", "[wake]") {
  constexpr std::uint64_t rounds = 20'000;
  wake its;
  std::atomic<std::uint64_t> finished = 0;
  std::atomic<std::uint64_t> wanted = 0;
  std::jthread other([&] {
    for (std::uint64_t i = 1; i <= rounds; ++i) {
      while (wanted.load() < i) std::this_thread::yield();
      finished.store(i);
      its.tell(i, false);
    }
  });
  std::uint64_t early = 0;
  for (std::uint64_t i = 1; i <= rounds; ++i) {
    wanted.store(i);
    while (finished.load() < i) {
      its.arm(i);
      if (finished.load() >= i) {
        its.disarm();
      } else if (i % 3 == 0) {
        its.sleep_until(steady_clock::now() + std::chrono::microseconds(i % 50));
      } else {
        its.sleep();
        early += finished.load() < i ? 1 : 0;
      }
    }
  }
  CHECK(early == 0);
  CHECK_FALSE(its.is_armed());
}

TEST_CASE("a descriptor is readable from the moment the target is reached until the owner has found nothing",
          "[wake][event_loop]") {
  wake its;
  const int fd = its.descriptor();
  CHECK(its.descriptor() == fd);
  CHECK_FALSE(is_readable(fd));
  for (std::uint64_t i = 0; i < 3; ++i) {
    its.watch(5);
    CHECK(its.is_armed());
    CHECK_FALSE(its.has_sleeper());
    its.tell(4, false);
    its.tell_anyway();  // an owner in an event loop carries out nothing
    CHECK(its.is_armed());
    CHECK_FALSE(is_readable(fd));
    its.tell(i == 0 ? 4 : 5 + i, i == 0);
    CHECK_FALSE(its.is_armed());
    CHECK(is_readable(fd));
    CHECK(is_readable(fd));
    its.tell(9, true);
  }
  its.watch(5);
  CHECK_FALSE(is_readable(fd));
}

TEST_CASE("a target that no count reaches is watched for failures", "[wake][event_loop]") {
  wake its;
  const int fd = its.descriptor();
  for (int i = 0; i < 2; ++i) {
    its.watch(wake::never);
    CHECK(its.is_armed());
    CHECK_FALSE(its.has_sleeper());
    its.tell(1000, false);
    CHECK_FALSE(is_readable(fd));
    its.tell(1001, true);
    CHECK(is_readable(fd));
  }
  its.arm(wake::never);
  CHECK(its.has_sleeper());
  its.tell(1000, false);
  CHECK(its.has_sleeper());
  its.tell_anyway();
  its.sleep();
}

TEST_CASE("the owner makes the descriptor readable itself, and keeps it so", "[wake][event_loop]") {
  wake its;
  const int fd = its.descriptor();
  its.watch(5);
  for (int i = 0; i < 3; ++i) {
    its.set_readable();
    CHECK_FALSE(its.is_armed());
    its.tell(9, true);
    CHECK(is_readable(fd));
  }
  its.watch(6);
  CHECK_FALSE(is_readable(fd));
  its.tell(6, false);
  its.set_readable();
  CHECK(is_readable(fd));
  its.watch(7);
  CHECK_FALSE(is_readable(fd));
}

TEST_CASE("an owner that sleeps on the semaphore takes back what it watches for", "[wake][event_loop]") {
  wake its;
  const int fd = its.descriptor();
  its.watch(5);
  its.arm(6);
  CHECK(its.has_sleeper());
  its.tell(6, false);
  its.sleep();
  CHECK_FALSE(is_readable(fd));
  SECTION("in time") { its.watch(7); }
  SECTION("too late") {
    its.watch(7);
    its.tell(7, false);
    its.arm(8);
    its.disarm();
    CHECK(is_readable(fd));
    its.watch(8);
  }
  CHECK_FALSE(is_readable(fd));
}

TEST_CASE("no wake-up of an event loop is lost, however the two meet", "[wake][event_loop]") {
  constexpr std::uint64_t rounds = 20'000;
  wake its;
  const int fd = its.descriptor();
  std::atomic<std::uint64_t> finished = 0;
  std::atomic<std::uint64_t> wanted = 0;
  std::jthread other([&] {
    for (std::uint64_t i = 1; i <= rounds; ++i) {
      while (wanted.load() < i) std::this_thread::yield();
      finished.store(i);
      its.tell(i, false);
    }
  });
  std::uint64_t lost = 0;
  for (std::uint64_t i = 1; i <= rounds; ++i) {
    if (i % 7 == 0) its.set_readable();
    wanted.store(i);
    while (finished.load() < i) {
      if (i % 5 == 0) {
        its.arm(i);
        if (finished.load() >= i)
          its.disarm();
        else
          its.sleep();
        continue;
      }
      its.watch(i);
      if (finished.load() < i && !is_readable(fd, asioq_test::for_long)) ++lost;
    }
  }
  other.join();
  CHECK(lost == 0);
  for (int i = 0; i < 2; ++i) its.watch(rounds + 1);  // the last signal may have come after the first
  CHECK_FALSE(is_readable(fd));
}
