// Each allocation fails once, wherever it is. What a call throws leaves everything as it was, so the same call again
// succeeds, and the program has its results as if nothing had happened.
#include <asioq/asioq.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <cerrno>
#include <csignal>
#include <optional>
#include <string>

#include "catch.hpp"
#include "child.hpp"
#include "counting_new.hpp"
#include "faulted_run.hpp"
#include "hosts.hpp"
#include "requests.hpp"

using namespace asioq_test;

namespace {

/// Runs the program with one failure. Returns whether there was one.
template <class Host>
bool run_with_failure(const run_manner& manner, long number) {
  faulted_run<Host> run(manner);
  const long before = live_news;
  bool has_failed = false;
  {
    const failing_new failing(number);
    run.run();
    has_failed = failing.has_failed();
  }
  const long left = live_news - before;
  if (const std::string complaint = run.check({}); !complaint.empty())
    FAIL_CHECK(name_of(manner) << ", allocation " << number << ": " << complaint);
  if (left != 0) FAIL_CHECK(name_of(manner) << ", allocation " << number << ": " << left << " are left");
  for (const int error : run.thrown())
    if (error != ENOMEM) FAIL_CHECK(name_of(manner) << ", allocation " << number << ": thrown was " << error);
  return has_failed;
}

/// For each n, the n-th allocation fails.
template <class Host>
void fail_everywhere() {
  for (const bool fills_disk : {false, true})
    in_every_manner(
        [](const run_manner& manner) {
          faulted_run<Host>(manner).run();  // allocates what is allocated once for the whole program
          long number = 1;
          while (run_with_failure<Host>(manner, number)) ++number;
          CHECK(number > 10);
        },
        fills_disk);
}

}  // namespace

TEST_CASE("every allocation fails once, on the inline executor", "[allocation][every_step]") {
  fail_everywhere<inline_host>();
}
TEST_CASE("every allocation fails once, on a pool", "[allocation][every_step]") { fail_everywhere<pool_host>(); }
TEST_CASE("every allocation fails once, on the default pool", "[allocation][every_step]") {
  fail_everywhere<default_host>();
}
#ifdef ASIOQ_TEST_URING
TEST_CASE("every allocation fails once, on io_uring", "[allocation][every_step]") {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  fail_everywhere<uring_host>();
}
TEST_CASE("every allocation fails once, on io_uring or the pool", "[allocation][every_step]") {
  fail_everywhere<uring_or_pool_host>();
}
#endif

TEST_CASE("a loss is reported though there is no memory for the message", "[allocation][loss]") {
  const descriptor full = open_path("/dev/full", O_RDWR);
  const bool is_known = GENERATE(false, true);
  for (long number = 1; number <= 4; ++number) {
    const ending end = run_in_child([&] {
      std::optional<asioq::basic_asio_queue<asioq::inline_executor>> queue;
      queue.emplace(asioq::queue_options{.buffer_size = 512});
      queue->submit(write_of(*queue, full, "told", 0));
      queue->submit(write_of(*queue, full, "not told to anybody", 0));
      if (is_known) static_cast<void>(queue->wait());
      const failing_new failing(number);
      queue.reset();
      return 0;
    });
    INFO(end.errors);
    CHECK(end.errors.find("asioq: a failure was not reported: write") != std::string::npos);
    CHECK(end.signal == (is_known ? 0 : SIGABRT));
  }
}
