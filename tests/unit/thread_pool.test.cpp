#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <latch>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "child.hpp"
#include "faults.hpp"
#include "requests.hpp"
#include "threads.hpp"

using namespace asioq_test;

namespace {

asioq::task counting(std::atomic<int>& count) {
  return asioq::task([](void* context) noexcept { ++*static_cast<std::atomic<int>*>(context); }, &count);
}

}  // namespace

TEST_CASE("a pool has the threads it was asked for, and joins them", "[thread_pool]") {
  const std::size_t before = thread_count();
  {
    asioq::thread_pool pool{3};
    CHECK(pool.size() == 3);
    CHECK(thread_count() == before + 3);
  }
  CHECK(threads_fall_to(before));
}

TEST_CASE("a pool without threads is refused", "[thread_pool][bad_use]") {
  CHECK_THROWS_AS(asioq::thread_pool{0}, std::invalid_argument);
}

TEST_CASE("executors are equal if they are of one pool", "[thread_pool]") {
  asioq::thread_pool one{1};
  asioq::thread_pool two{1};
  CHECK(one.executor() == one.executor());
  CHECK_FALSE(one.executor() == two.executor());
}

TEST_CASE("the destructor of a pool runs every task it was given", "[thread_pool]") {
  std::atomic<int> count = 0;
  {
    asioq::thread_pool pool{2};
    for (int i = 0; i < 10'000; ++i) pool.executor().execute(counting(count));
  }
  CHECK(count == 10'000);
}

TEST_CASE("tasks may give more tasks to the pool, also while it ends", "[thread_pool]") {
  struct state {
    asioq::thread_pool::executor_type executor;
    std::atomic<int> left;
    static void step(void* context) noexcept {
      auto& self = *static_cast<state*>(context);
      if (--self.left > 0) self.executor.execute(asioq::task(step, context));
    }
  };
  auto pool = std::make_unique<asioq::thread_pool>(2);
  state shared{pool->executor(), 1000};
  pool->executor().execute(asioq::task(state::step, &shared));
  pool.reset();
  CHECK(shared.left == 0);
}

TEST_CASE("a pool of n threads runs n tasks at once", "[thread_pool]") {
  constexpr int threads = 4;
  struct state {
    std::latch all{threads};
    std::mutex mutex;
    std::set<std::thread::id> ids;
  } shared;
  {
    asioq::thread_pool pool{threads};
    const asioq::task meet(
        [](void* context) noexcept {
          auto& meeting = *static_cast<state*>(context);
          meeting.all.arrive_and_wait();  // for ever, if one is missing
          const std::lock_guard lock(meeting.mutex);
          meeting.ids.insert(std::this_thread::get_id());
        },
        &shared);
    for (int i = 0; i < threads; ++i) pool.executor().execute(meet);
  }
  CHECK(shared.ids.size() == threads);
}

TEST_CASE("tasks may come from many threads", "[thread_pool]") {
  std::atomic<int> count = 0;
  {
    asioq::thread_pool pool{2};
    run_on_threads(4, [&] {
      for (int k = 0; k < 1000; ++k) pool.executor().execute(counting(count));
    });
  }
  CHECK(count == 4000);
}

TEST_CASE("a pool whose threads cannot be started throws and leaves none", "[thread_pool][fault]") {
  if (!can_refuse_threads()) {
    WARN("skipped: threads with enormous stacks can be started here");
    return;
  }
  const std::size_t before = thread_count();
  {
    const enormous_stacks no_threads;
    CHECK_THROWS_AS(asioq::thread_pool{2}, std::system_error);
  }
  CHECK(threads_fall_to(before));
  CHECK_NOTHROW(asioq::thread_pool{2});
}

TEST_CASE("a pool that gets only some of its threads throws and leaves none", "[thread_pool][fault]") {
  if (sanitized) {
    WARN("skipped: sanitizers need the address space that this test takes away");
    return;
  }
  const ending end = run_in_child([] {
    limit_threads_to_about(3);
    try {
      asioq::thread_pool pool{64};
      return 1;
    } catch (const std::system_error&) {
    }
    if (!threads_fall_to(1)) return 2;
    asioq::thread_pool pool{1};
    return thread_count() == 2 ? 0 : 3;
  });
  CHECK(end.exit_code == 0);
}

TEST_CASE("many threads end in about the time that it takes to start them", "[thread_pool]") {
  using clock = std::chrono::steady_clock;
  constexpr int threads = 400;
  std::unique_ptr<asioq::thread_pool> pool;
  const clock::time_point start = clock::now();
  try {
    pool = std::make_unique<asioq::thread_pool>(threads);
  } catch (const std::system_error&) {
    WARN("skipped: no 400 threads can be started here");
    return;
  }
  // Each thread runs one, so all have begun; then all go to sleep.
  std::latch all{threads + 1};
  const asioq::task meet([](void* latch) noexcept { static_cast<std::latch*>(latch)->arrive_and_wait(); }, &all);
  for (int i = 0; i < threads; ++i) pool->executor().execute(meet);
  all.arrive_and_wait();
  const clock::time_point middle = clock::now();
  pool.reset();
  const clock::time_point end = clock::now();
  // Waking all for each one that ends takes a hundred times as long as starting them.
  CHECK(end - middle < 10 * (middle - start) + std::chrono::milliseconds(100));
}

namespace {

/// A pool that one of its own tasks destroys, with other tasks before it, behind it and given by those behind it.
struct suicide {
  std::unique_ptr<asioq::thread_pool> pool;
  asioq::thread_pool::executor_type executor;
  std::atomic<int> left;
  std::binary_semaphore gate{0};

  suicide(std::size_t threads, int tasks)
      : pool(std::make_unique<asioq::thread_pool>(threads)), executor(pool->executor()), left(2 * tasks + 1) {
    // The first holds its worker up until all have been given.
    executor.execute(asioq::task(
        [](void* context) noexcept {
          auto& self = *static_cast<suicide*>(context);
          self.gate.acquire();
          self.pool.reset();
          --self.left;
        },
        this));
    for (int i = 0; i < tasks; ++i) executor.execute(asioq::task(give_another, this));
    gate.release();
    // Nothing of this is touched after the last step of the last of them.
    while (left != 0) std::this_thread::yield();
  }

  static void give_another(void* context) noexcept {
    auto& self = *static_cast<suicide*>(context);
    self.executor.execute(asioq::task(count, context));
    count(context);
  }

  static void count(void* context) noexcept { --static_cast<suicide*>(context)->left; }
};

}  // namespace

TEST_CASE("a pool may be destroyed by a task of its own, and runs what it has accepted", "[thread_pool][thread]") {
  const ending end = run_in_child([] {
    const std::size_t before = thread_count();
    for (const std::size_t threads : {1U, 2U, 4U})
      for (int round = 0; round < 20; ++round) {
        const suicide all_run(threads, 100);
        if (all_run.left != 0) return 1;
        // The worker that was inside leaves by itself. (A sanitizer may have started a thread of its own.)
        if (!sanitized && !threads_fall_to(before)) return 2;
      }
    return 0;
  });
  CHECK(end.exit_code == 0);
}

namespace {

/// The set of blocked signals of each thread, as the kernel shows it.
std::vector<std::string> blocked_signals() {
  std::vector<std::string> all;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("SigBlk:")) all.push_back(line);
  }
  return all;
}

sigset_t mask_of_this_thread() {
  sigset_t now;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return now;
}

/// The exit code of a child: 0 if it gets, by sigwait(3), a SIGTERM that it blocks only now.
int wait_for_termination() {
  sigset_t termination;
  ::sigemptyset(&termination);
  ::sigaddset(&termination, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &termination, nullptr);
  ::kill(::getpid(), SIGTERM);
  int number = 0;
  return ::sigwait(&termination, &number) == 0 && number == SIGTERM ? 0 : 1;
}

}  // namespace

TEST_CASE("workers leave the program's signals to the program", "[thread_pool][signal]") {
  if (sanitized) {
    WARN("skipped: sanitizers have threads of their own, which take signals");
    return;
  }
  // A worker has run something, so it can take signals if it ever can.
  SECTION("those of a pool") {
    const ending end = run_in_child([] {
      asioq::thread_pool pool{4};
      std::latch begun{2};
      pool.executor().execute(
          asioq::task([](void* latch) noexcept { static_cast<std::latch*>(latch)->arrive_and_wait(); }, &begun));
      begun.arrive_and_wait();
      return wait_for_termination();
    });
    CHECK(end.exit_code == 0);
  }
  SECTION("those of the default pool") {
    const ending end = run_in_child([] {
      const descriptor file = temp_file_with("abc");
      asioq::asio_queue queue{{.buffer_size = 512}};
      queue.submit(read_of(queue, file, 3, 0));
      if (!queue.wait_for(std::chrono::hours(1))) return 2;
      return wait_for_termination();
    });
    CHECK(end.exit_code == 0);
  }
}

TEST_CASE("workers block all signals but those of faults and profilers", "[thread_pool][signal]") {
  sigset_t seen;
  {
    asioq::thread_pool pool{1};
    pool.executor().execute(
        asioq::task([](void* mask) noexcept { *static_cast<sigset_t*>(mask) = mask_of_this_thread(); }, &seen));
  }
  const std::set<int> open{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF, SIGKILL, SIGSTOP};
  for (int number = 1; number <= SIGRTMAX; ++number) {
    if (number > SIGSYS && number < SIGRTMIN) continue;  // the C library's own
    CAPTURE(number);
    CHECK((::sigismember(&seen, number) == 1) == !open.contains(number));
  }
}

TEST_CASE("making a pool, or failing to, leaves the caller's signals alone", "[thread_pool][signal]") {
  sigset_t usr2;
  sigset_t old;
  ::sigemptyset(&usr2);
  ::sigaddset(&usr2, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &usr2, &old);
  const std::vector<std::string> before = blocked_signals();
  {
    const asioq::thread_pool pool{1};
    CHECK(blocked_signals().front() == before.front());
  }
  if (can_refuse_threads()) {
    const enormous_stacks no_threads;
    CHECK_THROWS_AS(asioq::thread_pool{1}, std::system_error);
  }
  CHECK_THROWS_AS(asioq::thread_pool{0}, std::invalid_argument);
  CHECK(blocked_signals().front() == before.front());
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

TEST_CASE("a worker that writes to a closed pipe gets an error, and the program no signal", "[thread_pool][signal]") {
  const ending end = run_in_child([] {
    std::signal(SIGPIPE, SIG_DFL);
    std::signal(SIGXFSZ, SIG_DFL);
    pipe_ends pipe;
    pipe.read_end.reset();
    const descriptor file = temp_file();
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    asioq::thread_pool pool{1};
    asioq::basic_asio_queue<asioq::thread_pool::executor_type> queue{pool.executor(), {.buffer_size = 512}};
    // The waits with a limit never carry out a request themselves.
    queue.submit(write_of(queue, pipe.write_end, "x"));
    if (queue.wait_for(std::chrono::hours(1)).error() != std::errc::broken_pipe) return 1;
    queue.submit(write_of(queue, file, "x", 4096));
    if (queue.wait_for(std::chrono::hours(1)).error() != std::errc::file_too_large) return 2;
    return 0;
  });
  CHECK(end.signal == 0);
  CHECK(end.exit_code == 0);
}

// docs/explanation/limits.md says so.
TEST_CASE("on a thread of the program's own such a write raises the signal", "[thread_pool][signal]") {
  CHECK(run_in_child([] {
          std::signal(SIGPIPE, SIG_DFL);
          pipe_ends pipe;
          pipe.read_end.reset();
          asioq::basic_asio_queue<asioq::inline_executor> queue{{.buffer_size = 512}};
          queue.submit(write_of(queue, pipe.write_end, "x"));
          return 0;
        }).signal == SIGPIPE);
  CHECK(run_in_child([] {
          std::signal(SIGXFSZ, SIG_DFL);
          const descriptor file = temp_file();
          const rlimit limit{4096, 4096};
          ::setrlimit(RLIMIT_FSIZE, &limit);
          asioq::basic_asio_queue<asioq::inline_executor> queue{{.buffer_size = 512}};
          queue.submit(write_of(queue, file, "x", 4096));
          return 0;
        }).signal == SIGXFSZ);
}

TEST_CASE("a child may destroy a pool of its parent's", "[thread_pool][fork]") {
  if (sanitized) {
    WARN("skipped: sanitizers do not go on after a fork with threads");
    return;
  }
  asioq::thread_pool pool{2};
  asioq::thread_pool::executor_type executor = pool.executor();
  auto inherited = std::make_unique<asioq::thread_pool>(3);
  const ending end = run_in_child([&] {
    inherited.reset();
    std::atomic<int> count = 0;
    {
      asioq::thread_pool mine{2};
      for (int i = 0; i < 100; ++i) mine.executor().execute(counting(count));
    }
    return count == 100 ? 0 : 1;
  });
  CHECK(end.exit_code == 0);
  std::atomic<int> count = 0;
  for (int i = 0; i < 100; ++i) executor.execute(counting(count));
  while (count != 100) std::this_thread::yield();
}
