#include <asioq/detail/support/event.hpp>

#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <system_error>
#include <thread>

#include "catch.hpp"
#include "faults.hpp"
#include "files.hpp"
#include "readiness.hpp"

using asioq::detail::event;
using namespace asioq_test;

TEST_CASE("an event is readable from a signal until it is drained", "[event]") {
  event its;
  CHECK_FALSE(is_readable(its.descriptor()));
  CHECK_FALSE(its.drain());
  for (int i = 0; i < 3; ++i) {
    for (int k = 0; k <= i; ++k) its.signal();
    CHECK(is_readable(its.descriptor()));
    CHECK(its.drain());
    CHECK_FALSE(is_readable(its.descriptor()));
    CHECK_FALSE(its.drain());
  }
}

TEST_CASE("the descriptor of an event stays out of other programs, and ends with it", "[event]") {
  int fd = -1;
  {
    const event its;
    fd = its.descriptor();
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  }
  CHECK(::fcntl(fd, F_GETFD) == -1);
}

TEST_CASE("an event for which there is no descriptor says so", "[event]") {
  const descriptor first_free = open_path("/dev/null", O_RDONLY);
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
  const rlimit none{static_cast<rlim_t>(first_free.get()), old.rlim_max};
  std::error_code error;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  try {
    const event its;
  } catch (const std::system_error& thrown) {
    error = thrown.code();
  }
  ::setrlimit(RLIMIT_NOFILE, &old);
  CHECK(error == std::errc::too_many_files_open);
}

TEST_CASE("a wait for either of two ends with the one or the other", "[event]") {
  event one;
  event two;
  const auto check = [&](event& which) {
    const std::jthread other([&] { which.signal(); });
    asioq::detail::wait_for_either(one.descriptor(), two.descriptor());
    CHECK(is_readable(which.descriptor()));
    CHECK(which.drain());
  };
  for (int i = 0; i < 100; ++i) {
    check(one);
    check(two);
  }
}

namespace {
std::atomic<int> interruptions = 0;
}

TEST_CASE("a wait that a signal interrupts goes on", "[event]") {
  const signal_action action(SIGUSR1, [](int) { interruptions.fetch_add(1); });
  event one;
  event two;
  const pthread_t waiting = ::pthread_self();
  const std::jthread other([&] {
    for (int i = 0; i < 20; ++i) {
      const int before = interruptions.load();
      ::pthread_kill(waiting, SIGUSR1);
      while (interruptions.load() == before) std::this_thread::yield();
    }
    two.signal();
  });
  asioq::detail::wait_for_either(one.descriptor(), two.descriptor());
  CHECK(two.drain());
  CHECK(interruptions.load() == 20);
}
