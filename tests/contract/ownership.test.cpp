#include "catch.hpp"
#include "counting_allocator.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

using namespace asioq_test;

namespace {

/// Whether the request is still prepared as write_of(…, "mine", 5) or write_back_of has left it.
void check_unchanged(const asioq::asio_request& request, asioq::asio_op op, const descriptor& file, void* data) {
  REQUIRE(request);
  CHECK(request.op() == op);
  CHECK(request.fd() == file.get());
  CHECK(request.length() == 4);
  CHECK(request.offset() == 5);
  CHECK(request.user_data() == data);
  CHECK(text_of(request.buffer().first(4)) == "mine");
}

/// `settle` lets the executor finish with every task: from then on, a submit needs another one.
template <class Function>
void on_refusing_executors(Function function) {
  SECTION("that would run it at once") {
    immediate_sink next;
    refusing_sink sink(next);
    function(sink, [] {});
  }
  SECTION("that would run it later") {
    pumped_sink next;
    refusing_sink sink(next);
    function(sink, [&next] { next.run_all(); });
  }
}

using refused_queue = asioq::basic_asio_queue<custom_executor>;

}  // namespace

TEST_CASE("a submit that the executor refuses leaves the request with the caller", "[ownership][executor]") {
  on_refusing_executors([](refusing_sink& sink, const auto& settle) {
    const descriptor file = temp_file();
    refused_queue queue{custom_executor{&sink}, {.buffer_size = 512, .max_writebacks = 1}};
    int mine = 0;
    for (const bool write_back : {false, true}) {
      asioq::asio_request request =
          write_back ? write_back_of(queue, file, "mine", 5) : write_of(queue, file, "mine", 5);
      request.set_user_data(&mine);
      settle();
      sink.refusing = true;
      for (int i = 0; i < 3; ++i) {  // also: the one permit is not lost
        CHECK_THROWS_AS(queue.submit(std::move(request)), refusal);
        check_unchanged(request, write_back ? asioq::asio_op::write_back : asioq::asio_op::write, file, &mine);
        CHECK(queue.running_requests() == 0);
        CHECK(queue.running_writebacks() == 0);
        CHECK_FALSE(queue.wait());
        CHECK_FALSE(queue.try_wait());
        CHECK_NOTHROW(queue.sync());
      }
      CHECK(contents(file).empty());
      sink.refusing = false;
      queue.submit(std::move(request));
      CHECK_FALSE(request);
      queue.sync();
      CHECK(contents(file) == std::string("\0\0\0\0\0mine", 9));
      if (!write_back) CHECK(queue.wait().sequence() == 0);
      set_contents(file, "");
    }
    asioq::asio_request last = run(queue, read_of(queue, file, 1, 0));
    CHECK(last.sequence() == 2);
  });
}

TEST_CASE("a request that failed and is refused keeps how it went", "[ownership][executor]") {
  on_refusing_executors([](refusing_sink& sink, const auto& settle) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    refused_queue queue{custom_executor{&sink}, {.buffer_size = 512}};
    asioq::asio_request request = run(queue, write_back_of(queue, full, "mine"));
    REQUIRE(request.error() == std::errc::no_space_on_device);
    settle();
    sink.refusing = true;
    CHECK_THROWS_AS(queue.submit(std::move(request)), refusal);
    REQUIRE(request);
    CHECK(request.error() == std::errc::no_space_on_device);
    CHECK(request.sequence() == 0);
    sink.refusing = false;
    queue.submit(std::move(request));
    CHECK(queue.wait().sequence() == 1);
  });
}

TEST_CASE("what was submitted finishes even if the executor refuses more", "[ownership][executor]") {
  thread_per_task_sink next;
  refusing_sink sink(next);
  const descriptor file = temp_file();
  std::string expected;
  {
    refused_queue queue{custom_executor{&sink}, {.buffer_size = 512, .max_writebacks = 3}};
    for (int i = 0; i < 500; ++i) {
      sink.refusing = i % 5 == 3;
      try {
        if (i % 2 == 0)
          queue.submit(write_back_of(queue, file, std::to_string(i)));
        else
          queue.submit(write_of(queue, file, std::to_string(i)));
        expected += std::to_string(i);
      } catch (const refusal&) {
      }
      if (i % 7 == 0) static_cast<void>(queue.wait());
    }
    sink.refusing = true;
  }
  CHECK(contents(file) == expected);
}

TEST_CASE("get throws when memory runs out and changes nothing", "[ownership][allocator]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    memory_log log;
    auto queue = world.queue({.buffer_size = 512}, counting_allocator<std::byte>(log));
    std::vector<asioq::asio_request> held;
    held.push_back(queue.get());
    const long live = log.live;
    for (long budget = 0; budget < 8; ++budget) {  // fails at each allocation in turn
      log.budget = budget;
      bool thrown = false;
      try {
        held.push_back(queue.get());
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      if (!thrown) break;
      CHECK(log.live == live);
      CHECK(queue.allocated_requests() == 1);
      CHECK(queue.running_requests() == 0);
    }
    CHECK(held.size() == 2);
    log.budget = 0;
    CHECK_THROWS_AS(queue.get(), std::bad_alloc);
    held.pop_back();
    CHECK(run(queue, read_of(queue, file, 3, 0)).bytes_transferred() == 3);  // the recycled one
  });
}

TEST_CASE("a queue that cannot be made leaks nothing", "[ownership][allocator]") {
  memory_log log;
  using queue_type = asioq::basic_asio_queue<asioq::inline_executor, counting_allocator<std::byte>>;
  for (log.budget = 0;; ++log.budget) {
    const long budget = log.budget;
    try {
      queue_type queue{asioq::inline_executor{}, {}, counting_allocator<std::byte>(log)};
      break;
    } catch (const std::bad_alloc&) {
      CHECK(log.live == 0);
    }
    log.budget = budget;
  }
  CHECK(log.live == 0);
  CHECK_THROWS_AS((queue_type{asioq::inline_executor{}, {.buffer_size = 0}, counting_allocator<std::byte>(log)}),
                  std::invalid_argument);
  CHECK(log.live == 0);
}
