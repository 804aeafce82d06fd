#include <asioq/detail/support/wake.hpp>

#include "catch.hpp"

#include <atomic>
#include <chrono>
#include <thread>

using asioq::detail::wake;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

TEST_CASE("nobody is told who has not armed", "[wake]") {
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
