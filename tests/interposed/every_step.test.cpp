// Each system call that a queue makes on behalf of a program fails once, in each way that it can fail. So does the
// start of each thread.
#include <asioq/asioq.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <cstddef>
#include <cstdint>
#include <string>

#include "calls.hpp"
#include "catch.hpp"
#include "executors.hpp"
#include "faulted_run.hpp"
#include "hosts.hpp"
#include "seed.hpp"

using namespace asioq_test;

namespace {

std::string name_of_answer(int answer) {
  if (answer == cut_short) return "is cut short";
  return answer == no_bytes ? "moves nothing" : "fails: " + std::system_category().message(answer);
}

/// Runs the program with one failure. Returns whether there was one.
template <class Host>
bool run_with(const run_manner& manner, call its, long number, int answer) {
  faulted_run<Host> run(manner);
  failing_calls failing(its, number, answer);
  run.run();
  failing.stop();
  const std::string complaint = run.check(failing.made());
  if (!complaint.empty())
    FAIL_CHECK(name_of(manner) << ", " << name_of(its) << " " << number << " " << name_of_answer(answer) << ": "
                               << complaint);
  return failing.has_failed();
}

/// For each n, the n-th call of this kind fails in each way. Returns how many failures that were.
template <class Host>
long fail_each(const run_manner& manner, call its) {
  long failures = 0;
  for (const int answer : answers_of(its)) {
    long number = 1;
    while (run_with<Host>(manner, its, number, answer)) ++number;
    failures += number - 1;
  }
  return failures;
}

template <class Host>
void fail_everywhere(long least) {
  long failures = 0;
  in_every_manner([&](const run_manner& manner) {
    for (std::size_t i = 0; i < number_of_calls; ++i) failures += fail_each<Host>(manner, static_cast<call>(i));
  });
  CHECK(failures >= least);
}

/// Any number of calls fail in one run.
template <class Host>
void fail_at_random() {
  const std::uint64_t seed = run_seed();
  static std::uint64_t number = 0;
  for (const std::uint64_t one_in : {3U, 10U, 30U})
    in_every_manner([&](const run_manner& manner) {
      faulted_run<Host> run(manner);
      failing_calls failing(seed + number++, one_in);
      run.run();
      failing.stop();
      const std::string complaint = run.check(failing.made());
      if (!complaint.empty())
        FAIL_CHECK(name_of(manner) << ", one call in " << one_in << ", run " << number << ": " << complaint);
    });
}

/// The pool's threads cannot be started, and can the next time.
template <std::size_t Threads>
struct wide_pool_host {
  asioq::thread_pool pool{Threads};
  [[nodiscard]] asioq::thread_pool::executor_type executor() { return pool.executor(); }
};

}  // namespace

TEST_CASE("every call fails once, on the inline executor", "[every_step]") { fail_everywhere<inline_host>(3000); }
TEST_CASE("every call fails once, on an executor that runs nothing", "[every_step]") {
  fail_everywhere<stuck_host>(3000);
}
TEST_CASE("every call fails once, on a pool", "[every_step]") { fail_everywhere<pool_host>(3000); }
TEST_CASE("every call fails once, on the default pool", "[every_step]") { fail_everywhere<default_host>(3000); }
#ifdef ASIOQ_TEST_URING
TEST_CASE("every call fails once, on io_uring", "[every_step]") {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  fail_everywhere<uring_host>(500);
}
TEST_CASE("every call fails once, on io_uring or the pool", "[every_step]") {
  fail_everywhere<uring_or_pool_host>(500);
}
#endif

TEST_CASE("calls fail at random", "[every_step]") {
  for (int round = 0; round < 5; ++round) {
    fail_at_random<inline_host>();
    fail_at_random<stuck_host>();
    fail_at_random<pool_host>();
  }
}

TEST_CASE("each thread of a pool cannot be started", "[every_step]") {
  run_manner manner;
  long failures = 0;
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    manner.order = order;
    failures += fail_each<wide_pool_host<1>>(manner, call::thread);
    failures += fail_each<wide_pool_host<16>>(manner, call::thread);
  }
  CHECK(failures == 2 * 17);
}
