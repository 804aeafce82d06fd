#include <asioq/asioq.hpp>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <string>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "executors.hpp"
#include "requests.hpp"

using namespace asioq_test;

namespace {

/// Completes what the test says, in the order in which it says so.
struct scripted_engine {
  struct step {
    int fd;
    std::int64_t outcome;
  };
  std::deque<step> script;
  std::vector<asioq::io_operation*> held;
  bool poll_throws = false;

  void follow_script() {
    const auto its = std::ranges::find(held, script.front().fd, &asioq::io_operation::fd);
    if (its == held.end()) throw std::logic_error("the script names what has not been started");
    asioq::io_operation& operation = **its;
    held.erase(its);
    const std::int64_t outcome = script.front().outcome;
    script.pop_front();
    operation.complete(outcome);
  }
};

struct scripted_executor {
  scripted_engine* engine;

  void start(asioq::io_operation& operation) const { engine->held.push_back(&operation); }
  void poll() const {
    if (!engine->script.empty()) engine->follow_script();
    if (engine->poll_throws) throw refusal();
  }
  void wait_until(std::chrono::steady_clock::time_point) const { engine->follow_script(); }
  bool operator==(const scripted_executor&) const = default;
};
static_assert(asioq::io_executor<scripted_executor>);

const asioq::queue_options as_if_serial{.buffer_size = 512, .order = asioq::execution_order::as_if_serial};

}  // namespace

TEST_CASE("fsyncs that fail early do not fail an older one of another file", "[io_executor][latch]") {
  const descriptor slow = temp_file();
  const descriptor one = temp_file();
  const descriptor two = temp_file();
  scripted_engine engine;
  asioq::basic_asio_queue<scripted_executor> queue{{&engine}, as_if_serial};
  queue.submit(write_of(queue, slow, "x", 0));
  queue.submit(fsync_of(queue, slow));  // waits for the write
  queue.submit(fsync_of(queue, one));
  queue.submit(fsync_of(queue, two));
  queue.submit(fsync_of(queue, one));
  engine.script = {{one.get(), -EIO}, {two.get(), -ENOSPC}, {slow.get(), 1}, {slow.get(), 0}};
  const std::vector<outcome> all = drain(queue);
  REQUIRE(all.size() == 5);
  CHECK_FALSE(all[0].error);
  CHECK_FALSE(all[1].error);
  CHECK(all[2].error == std::errc::io_error);
  CHECK(all[3].error == std::errc::no_space_on_device);
  CHECK(all[4].error == std::errc::io_error);  // without asking
  CHECK(engine.held.empty());
}

TEST_CASE("a close comes after a transfer of no bytes", "[io_executor]") {
  const descriptor file = temp_file_with("abc");
  scripted_engine engine;
  asioq::basic_asio_queue<scripted_executor> queue{{&engine}, as_if_serial};
  const bool writes = GENERATE(true, false);
  queue.submit(writes ? write_of(queue, file, "", 1) : read_of(queue, file, 0, 1));
  asioq::asio_request close = queue.get();
  close.prepare_close(file.get());
  queue.submit(std::move(close));
  CHECK(engine.held.size() == 1);
  engine.script = {{file.get(), 0}, {file.get(), 0}};
  CHECK(drain(queue).size() == 2);
}

TEST_CASE("what follows requests that end without being started begins at once", "[io_executor][cancel]") {
  const descriptor file = temp_file();
  const descriptor one = temp_file();
  const descriptor two = temp_file();
  scripted_engine engine;
  asioq::basic_asio_queue<scripted_executor> queue{{&engine}, as_if_serial};
  queue.submit(write_of(queue, file, "x", 0));
  asioq::asio_request close = queue.get();
  close.prepare_close(file.get());
  queue.submit(std::move(close));
  queue.submit(read_of(queue, file, 1, 0));  // its file is known only behind the close
  queue.cancel();
  queue.submit(write_of(queue, one, "y", 0));
  queue.submit(write_of(queue, two, "z", 0));
  engine.script = {{file.get(), 1}};
  CHECK(queue.poll() == 0);
  CHECK(engine.held.size() == 2);
  engine.script = {{two.get(), 1}, {one.get(), 1}};
  CHECK(drain(queue).size() == 5);
}

TEST_CASE("what has been completed counts though the executor throws then", "[io_executor]") {
  const descriptor file = temp_file();
  scripted_engine engine;
  asioq::basic_asio_queue<scripted_executor> queue{{&engine}, as_if_serial};
  queue.submit(write_of(queue, file, "x", 0));
  engine.script = {{file.get(), 1}};
  engine.poll_throws = true;
  CHECK_THROWS_AS(queue.try_wait(), refusal);
  CHECK(queue.running_requests() == 0);
  CHECK(queue.try_wait().bytes_transferred() == 1);
}

TEST_CASE("a queue on a variant is on the executor that is in it", "[executor][io_executor]") {
  using either = std::variant<custom_executor, scripted_executor>;
  STATIC_REQUIRE(asioq::queue_executor<either>);
  STATIC_REQUIRE_FALSE(asioq::queue_executor<std::variant<custom_executor, int>>);
  const descriptor file = temp_file();
  pumped_sink sink;
  scripted_engine engine;
  const auto order = GENERATE(asioq::execution_order::strict, asioq::execution_order::as_if_serial);
  const asioq::queue_options options{.buffer_size = 512, .order = order};
  {
    asioq::basic_asio_queue<either> queue{custom_executor{&sink}, options};
    queue.submit(write_of(queue, file, "a", 0));
    CHECK(sink.waiting() == 1);
    sink.run_all();
    CHECK(queue.try_wait().bytes_transferred() == 1);
  }
  asioq::basic_asio_queue<either> queue{scripted_executor{&engine}, options};
  queue.submit(write_of(queue, file, "b", 0));
  CHECK(engine.held.size() == 1);
  engine.script = {{file.get(), 1}};
  CHECK(queue.wait().bytes_transferred() == 1);
}
