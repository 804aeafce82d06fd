#include <asioq/asioq.hpp>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "child.hpp"
#include "requests.hpp"
#include "threads.hpp"

using namespace asioq_test;

TEST_CASE("the default pool comes with the first queue and goes with the last", "[default_executor]") {
  const std::size_t before = thread_count();
  for (int round = 0; round < 3; ++round) {
    auto first = std::make_unique<asioq::asio_queue>();
    const std::size_t with_pool = thread_count();
    CHECK(with_pool > before);
    auto second = std::make_unique<asioq::asio_queue>();
    CHECK(thread_count() == with_pool);
    CHECK(first->get_executor() == second->get_executor());
    first.reset();
    CHECK(thread_count() == with_pool);
    second.reset();
    CHECK(threads_fall_to(before));
  }
}

TEST_CASE("the default pool goes with its last queue even if handles stay", "[default_executor][handle]") {
  const std::size_t before = thread_count();
  const descriptor file = temp_file_with("abc");
  asioq::asio_request kept;
  {
    asioq::asio_queue queue;
    for (int i = 0; i < 100; ++i) queue.submit(read_of(queue, file, 3, 0));
    kept = queue.wait();
  }
  CHECK(threads_fall_to(before));
  CHECK(text_of(kept.data()) == "abc");
}

TEST_CASE("other executors need no default pool", "[default_executor]") {
  const std::size_t before = thread_count();
  const asioq::basic_asio_queue<asioq::inline_executor> queue;
  CHECK(thread_count() == before);
}

TEST_CASE("queues made and gone on many threads at once share the default pool", "[default_executor][thread]") {
  const std::size_t before = thread_count();
  const descriptor file = temp_file_with("abc");
  std::atomic<int> wrong = 0;
  run_on_threads(4, [&] {
    for (int k = 0; k < 30; ++k) {
      asioq::asio_queue queue{{.buffer_size = 512}};
      queue.submit(read_of(queue, file, 3, 0));
      wrong += queue.wait().bytes_transferred() == 3 ? 0 : 1;
    }
  });
  CHECK(wrong == 0);
  CHECK(threads_fall_to(before));
}

TEST_CASE("a default pool that cannot be started makes the queue's constructor throw", "[default_executor][fault]") {
  if (!can_refuse_threads()) {
    WARN("skipped: threads with enormous stacks can be started here");
    return;
  }
  const std::size_t before = thread_count();
  {
    const enormous_stacks no_threads;
    CHECK_THROWS_AS(asioq::asio_queue{}, std::system_error);
  }
  CHECK(threads_fall_to(before));
  const descriptor file = temp_file_with("abc");
  asioq::asio_queue queue;  // the next one can
  CHECK(run(queue, read_of(queue, file, 3, 0)).bytes_transferred() == 3);
}

TEST_CASE("the last share of the default pool may go in one of its tasks", "[default_executor][thread]") {
  const ending end = run_in_child([] {
    struct state {
      std::unique_ptr<asioq::asio_queue> queue = std::make_unique<asioq::asio_queue>();
      std::atomic<bool> done = false;
    };
    const std::size_t before = thread_count();
    const descriptor file = temp_file_with("abc");
    for (int round = 0; round < 20; ++round) {
      state shared;
      asioq::asio_queue& queue = *shared.queue;
      queue.submit(read_of(queue, file, 3, 0));
      queue.get_executor().execute(asioq::task(
          [](void* context) noexcept {
            auto& its = *static_cast<state*>(context);
            its.queue.reset();
            its.done = true;
          },
          &shared));
      while (!shared.done) std::this_thread::yield();
      asioq::asio_queue other;  // meets no pool that is about to go
      if (run(other, read_of(other, file, 3, 0)).bytes_transferred() != 3) return 1;
    }
    // A sanitizer may have started a thread of its own.
    return sanitized || threads_fall_to(before) ? 0 : 2;
  });
  CHECK(end.exit_code == 0);
}

namespace {

constexpr const char* forkless = "skipped: sanitizers do not go on after a fork with threads";

/// The exit code of a child in which a new queue has to work, without carrying out the request itself.
int use_a_new_queue() {
  const descriptor file = temp_file_with("abc");
  asioq::asio_queue queue{{.buffer_size = 512}};
  queue.submit(read_of(queue, file, 3, 0));
  if (queue.wait_for(std::chrono::seconds(30)).bytes_transferred() != 3) return 1;
  return thread_count() > 1 ? 0 : 2;
}

}  // namespace

TEST_CASE("a new queue in a child has a default pool of the child's", "[default_executor][fork]") {
  if (sanitized) {
    WARN(forkless);
    return;
  }
  const asioq::asio_queue parents;
  CHECK(run_in_child([&] {
          const int code = use_a_new_queue();
          const asioq::asio_queue childs;
          return childs.get_executor() == parents.get_executor() ? 3 : code;
        }).exit_code == 0);
  CHECK(run_in_child([&] {
          // Also in the child of a child, whether that has a pool or not.
          const asioq::asio_queue childs;
          return run_in_child(use_a_new_queue).exit_code;
        }).exit_code == 0);
  CHECK(run_in_child([] { return run_in_child(use_a_new_queue).exit_code; }).exit_code == 0);
  CHECK(use_a_new_queue() == 0);
}

TEST_CASE("a child has a default pool whatever its parent's threads were doing", "[default_executor][fork]") {
  if (sanitized) {
    WARN(forkless);
    return;
  }
  std::vector<int> codes;
  {
    // Most of the time they are making the pool or ending it, inside what protects that.
    const auto busy = [](const std::stop_token& stop) {
      while (!stop.stop_requested()) const asioq::asio_queue queue{{.buffer_size = 512}};
    };
    const std::jthread one(busy);
    const std::jthread two(busy);
    for (int i = 0; i < 50; ++i) codes.push_back(run_in_child(use_a_new_queue).exit_code);
  }
  CHECK(codes == std::vector<int>(50, 0));
}

TEST_CASE("a child that has inherited a default pool can exit", "[default_executor][fork]") {
  if (sanitized) {
    WARN(forkless);
    return;
  }
  const ending end = run_in_child([]() -> int {
    // A process of its own, since its static objects are destroyed.
    static std::unique_ptr<asioq::asio_queue> queue = std::make_unique<asioq::asio_queue>();
    (void)run(*queue, read_of(*queue, temp_file_with("abc"), 3, 0));
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(60);
      std::exit(use_a_new_queue());
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    queue.reset();
    return status;
  });
  CHECK(end.exit_code == 0);
}
