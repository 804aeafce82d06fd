#include <asioq/asioq.hpp>

#include <memory>
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
