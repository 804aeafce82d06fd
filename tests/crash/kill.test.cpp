// A program that is killed at a random moment, some hundred times: what a successful sync has covered is in the file.
#include <asioq/asioq.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <random>
#include <string>

#include "catch.hpp"
#include "files.hpp"
#include "hosts.hpp"
#include "record_log.hpp"
#include "seed.hpp"

using namespace asioq_test;

namespace {

/// Memory that this process shares with its children.
class shared_progress {
 public:
  shared_progress() {
    void* const place =
        ::mmap(nullptr, sizeof(log_progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw_errno("mmap");
    its_ = new (place) log_progress;
  }
  shared_progress(const shared_progress&) = delete;
  shared_progress& operator=(const shared_progress&) = delete;
  ~shared_progress() { ::munmap(its_, sizeof(log_progress)); }

  log_progress* operator->() { return its_; }
  log_progress& operator*() { return *its_; }

 private:
  log_progress* its_ = nullptr;
};

template <class Host>
[[noreturn]] void append_for_ever(int fd, asioq::execution_order order, record_log::place where,
                                  log_progress& progress) {
  Host host;
  asioq::basic_asio_queue queue{host.executor(), {.buffer_size = 4096, .order = order, .max_in_flight = 8}};
  record_log(fd, where, progress).run(queue, [] { return true; });
  ::_exit(1);  // something has failed
}

/// Kills the program when it has got so far, and after that some turns.
void kill_at(pid_t child, const log_progress& progress, std::uint64_t submitted, std::size_t turns) {
  while (progress.submitted.load() < submitted && ::waitpid(child, nullptr, WNOHANG) == 0) {
  }
  for (std::atomic<std::size_t> turn = 0; turn < turns; ++turn) {
  }
  ::kill(child, SIGKILL);
}

template <class Host>
void kill_often(asioq::execution_order order, record_log::place where, int times) {
  std::mt19937_64 random = random_source(static_cast<std::uint64_t>(order) * 2 + static_cast<std::uint64_t>(where));
  std::uint64_t synced = 0;
  for (int i = 0; i < times; ++i) {
    // A sync takes its time on a disk, and none in memory.
    const descriptor file = i % 10 == 0 ? temp_file() : temp_file("/dev/shm");
    shared_progress progress;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) append_for_ever<Host>(file.get(), order, where, *progress);
    kill_at(child, *progress, below(random, 200), below(random, 20'000));
    ::waitpid(child, nullptr, 0);
    const std::uint64_t acknowledged = progress->acknowledged.load();
    synced += acknowledged;
    const bool is_serial = order == asioq::execution_order::strict || where == record_log::place::at_position;
    const std::string wrong = record_log::check(contents(file), acknowledged, is_serial);
    if (!wrong.empty()) FAIL_CHECK("run " << i << ", " << acknowledged << " records were synced: " << wrong);
    if (progress->has_failed) FAIL_CHECK("run " << i << ": a request has failed");
  }
  CHECK(synced > 0);
}

template <class Host>
void kill_in_each_order() {
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial})
    for (const auto where : {record_log::place::at_offsets, record_log::place::at_position})
      kill_often<Host>(order, where, 30);
}

}  // namespace

TEST_CASE("what was synced survives kill -9, on the inline executor", "[crash]") { kill_in_each_order<inline_host>(); }
TEST_CASE("what was synced survives kill -9, on a pool", "[crash]") { kill_in_each_order<pool_host>(); }
#ifdef ASIOQ_TEST_URING
TEST_CASE("what was synced survives kill -9, on io_uring", "[crash]") {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  kill_in_each_order<uring_host>();
}
#endif
