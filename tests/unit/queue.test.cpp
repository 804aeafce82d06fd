#include <asioq/asioq.hpp>

#include <atomic>
#include <memory_resource>
#include <thread>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "child.hpp"
#include "executors.hpp"
#include "requests.hpp"

using namespace asioq_test;
using inline_queue = asioq::basic_asio_queue<asioq::inline_executor>;

TEST_CASE("a queue stays where it is made", "[queue]") {
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<asioq::asio_queue>);
  STATIC_REQUIRE_FALSE(std::is_move_constructible_v<asioq::asio_queue>);
  STATIC_REQUIRE_FALSE(std::is_move_assignable_v<asioq::asio_queue>);
  STATIC_REQUIRE(std::is_default_constructible_v<asioq::asio_queue>);
  STATIC_REQUIRE_FALSE(std::is_default_constructible_v<asioq::basic_asio_queue<asioq::thread_pool::executor_type>>);
  STATIC_REQUIRE(std::is_same_v<asioq::asio_queue, asioq::basic_asio_queue<asioq::default_executor>>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<asioq::queue_options, asioq::asio_queue>);  // explicit
}

TEST_CASE("the queues of the contract compile and work", "[queue]") {
  const descriptor file = temp_file_with("abc");
  const auto works = [&](auto& queue) { return run(queue, read_of(queue, file, 3, 0)).bytes_transferred() == 3; };

  asioq::asio_queue queue{{.buffer_size = 1 << 20, .max_writebacks = 8}};
  CHECK(works(queue));
  asioq::thread_pool pool{4};
  asioq::basic_asio_queue<asioq::thread_pool::executor_type> own{pool.executor(), {.buffer_size = 4096}};
  CHECK(works(own));
  inline_queue now{asioq::inline_executor{}, {.buffer_size = 4096}};
  CHECK(works(now));
  immediate_sink sink;
  const asioq::queue_options options{.buffer_size = 4096};
  std::pmr::monotonic_buffer_resource resource;
  asioq::basic_asio_queue<custom_executor, std::pmr::polymorphic_allocator<std::byte>> mine{custom_executor{&sink},
                                                                                            options, &resource};
  CHECK(works(mine));
  CHECK(mine.get_allocator().resource() == &resource);
}

TEST_CASE("a queue tells its options and its executor", "[queue]") {
  const inline_queue queue{{.buffer_size = 4097, .max_writebacks = 3, .on_failure = asioq::failure_policy::hold}};
  CHECK(queue.options().buffer_size == 4097);
  CHECK(queue.options().max_writebacks == 3);
  CHECK(queue.options().on_failure == asioq::failure_policy::hold);
  CHECK(queue.get_executor() == asioq::inline_executor{});
  CHECK(queue.allocated_requests() == 0);
  CHECK(queue.running_requests() == 0);
  CHECK(queue.running_writebacks() == 0);
  CHECK(queue.use_count == 0);
}

TEST_CASE("no request in flight at all is refused", "[queue][bad_use]") {
  CHECK_THROWS_AS((inline_queue{{.order = asioq::execution_order::as_if_serial, .max_in_flight = 0}}),
                  std::invalid_argument);
}

namespace {

/// Keeps the first task; runs those that it is given while it runs one.
class nesting_sink : public task_sink {
 public:
  ~nesting_sink() override {
    for (const asioq::task& work : kept_) work();
  }
  void execute(asioq::task work) override {
    if (running_)
      work();
    else
      kept_.push_back(work);
  }
  void run_first() {
    running_ = true;
    kept_.front()();
    running_ = false;
    kept_.erase(kept_.begin());
  }

 private:
  std::vector<asioq::task> kept_;
  bool running_ = false;
};

}  // namespace

TEST_CASE("as if serial, a worker whose turn is over leaves nothing to a successor that found nothing",
          "[queue][order]") {
  nesting_sink sink;
  const descriptor null = open_path("/dev/null", O_WRONLY);
  asioq::basic_asio_queue<custom_executor> queue{{&sink}, {.order = asioq::execution_order::as_if_serial}};
  for (int i = 0; i < 200; ++i) queue.submit(write_of(queue, null, "x"));  // each waits for the one before
  sink.run_first();
  CHECK(queue.running_requests() == 0);
}

namespace {

/// Runs the first task on a thread, refuses the second, and keeps all others until it goes.
class once_sink : public task_sink {
 public:
  ~once_sink() override {
    for (const asioq::task& work : kept_) work();
  }
  void execute(asioq::task work) override {
    switch (calls_++) {
      case 0:
        thread_ = std::jthread([this, work] {
          work();
          ran_.store(true, std::memory_order_relaxed);
        });
        break;
      case 1:
        throw refusal();
      default:
        kept_.push_back(work);
    }
  }
  /// Waits for the first, but relaxed: what it has done is not visible for that.
  void await_first() const {
    while (!ran_.load(std::memory_order_relaxed)) std::this_thread::yield();
  }

 private:
  int calls_ = 0;
  std::vector<asioq::task> kept_;
  std::atomic<bool> ran_ = false;
  std::jthread thread_;
};

}  // namespace

// ThreadSanitizer sees it if the queue itself does not hand over all that the last runner has left.
TEST_CASE("a refused task does not cut the owner off from the last runner", "[queue][executor]") {
  once_sink sink;
  const descriptor null = open_path("/dev/null", O_WRONLY);
  asioq::basic_asio_queue<custom_executor> queue{{&sink}, {.buffer_size = 512}};
  queue.submit(write_of(queue, null, "x"));
  sink.await_first();
  asioq::asio_request refused = write_of(queue, null, "x");
  CHECK_THROWS_AS(queue.submit(std::move(refused)), refusal);
  queue.submit(std::move(refused));
  queue.sync();  // carries it out, since nothing else does
  CHECK(queue.running_requests() == 0);
}

TEST_CASE("a failure that was not reported ends the program, with a message", "[queue][lost]") {
  const descriptor full = open_path("/dev/full", O_RDWR);
  for (const bool write_back : {false, true}) {
    const ending end = run_in_child([&] {
      inline_queue queue{{.buffer_size = 512}};
      queue.submit(write_back ? write_back_of(queue, full, "precious") : write_of(queue, full, "precious"));
      return 0;
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.errors.find("asioq") != std::string::npos);
    CHECK(end.errors.find(std::generic_category().message(ENOSPC)) != std::string::npos);
    CHECK(end.errors.find(std::to_string(full.get())) != std::string::npos);
  }
}

TEST_CASE("a failure that was reported does not end the program", "[queue][lost]") {
  const descriptor full = open_path("/dev/full", O_RDWR);
  const descriptor write_only = open_path("/dev/null", O_WRONLY);
  const ending end = run_in_child([&] {
    {
      inline_queue queue{{.buffer_size = 512}};
      queue.submit(write_back_of(queue, full, "x"));
      static_cast<void>(queue.wait());
    }
    {
      inline_queue queue{{.buffer_size = 512}};
      queue.submit(write_back_of(queue, full, "x"));
      try {
        queue.sync();
      } catch (const asioq::write_back_error&) {
      }
      queue.submit(read_of(queue, write_only, 3));
    }
    return 0;
  });
  CHECK(end.exit_code == 0);
  CHECK(end.errors.empty());
}

TEST_CASE("the destructor of a queue may come while an exception is on its way", "[queue][lifetime]") {
  const descriptor file = temp_file();
  try {
    asioq::asio_queue queue{{.buffer_size = 512}};
    for (std::uint64_t i = 0; i < 50; ++i) queue.submit(write_back_of(queue, file, "x", i));
    throw std::runtime_error("elsewhere");
  } catch (const std::runtime_error&) {
  }
  CHECK(contents(file) == std::string(50, 'x'));
}

TEST_CASE("a task that comes when its queue is gone does nothing", "[queue][lifetime][executor]") {
  pumped_sink sink;
  const descriptor file = temp_file();
  for (int i = 0; i < 10; ++i) {
    asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink}, {.buffer_size = 512}};
    queue.submit(write_of(queue, file, "x"));
  }
  CHECK(contents(file) == "xxxxxxxxxx");
  CHECK(sink.waiting() == 10);
  sink.run_all();
  CHECK(contents(file) == "xxxxxxxxxx");
}
