#include "coroutines.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "every_executor.hpp"
#include "receivers.hpp"
#include "requests.hpp"
#include "seed.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace asioq_test;

namespace {

/// Awaits one request and notes how it went.
template <class Queue>
owned_task await_one(Queue& queue, asioq::asio_request request, std::optional<outcome>& result,
                     std::stop_token stop = {}) {
  asioq::asio_request done = co_await queue.async_submit(std::move(request), stop);
  result.emplace(done);
}

/// The same, but the request that comes back is kept.
template <class Queue>
owned_task await_and_keep(Queue& queue, asioq::asio_request request, asioq::asio_request& result,
                          std::stop_token stop = {}) {
  result = co_await queue.async_submit(std::move(request), stop);
}

/// Copies `blocks` blocks of a file to another one, a byte each, and notes the thread it ran on.
template <class Queue>
fire_and_forget copy(Queue& queue, const descriptor& from, const descriptor& to, std::uint64_t blocks,
                     std::size_t& wrong, std::size_t& done) {
  const std::thread::id owner = std::this_thread::get_id();
  asioq::asio_request request = queue.get();
  for (std::uint64_t at = 0; at < blocks; ++at) {
    request.prepare_read(from.get(), 1, at);
    request = co_await queue.async_submit(std::move(request));
    wrong += !request.error() && request.bytes_transferred() == 1 ? 0 : 1;
    wrong += std::this_thread::get_id() == owner ? 0 : 1;
    request.prepare_write(to.get(), 1, at);
    request = co_await queue.async_submit(std::move(request));
    wrong += !request.error() && request.bytes_transferred() == 1 ? 0 : 1;
    wrong += std::this_thread::get_id() == owner ? 0 : 1;
  }
  ++done;
}

/// Where on the stack a coroutine runs.
struct stack_depth {
  void note() noexcept {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    lowest = std::min(lowest, here);
    highest = std::max(highest, here);
  }
  std::uintptr_t lowest = std::numeric_limits<std::uintptr_t>::max();
  std::uintptr_t highest = 0;
};

template <class Queue>
owned_task loop(Queue& queue, const descriptor& file, int rounds, stack_depth& depth, int& count) {
  asioq::asio_request request = write_of(queue, file, "x");
  for (; count < rounds; ++count) {
    request = co_await queue.async_submit(std::move(request));
    depth.note();
  }
}

}  // namespace

TEST_CASE("a coroutine gets its request back inside a delivery", "[coroutine]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512});
    std::optional<outcome> read;
    std::optional<outcome> failed;
    std::optional<outcome> written;
    const owned_task one = await_one(queue, read_of(queue, file, 3, 0), read);
    const owned_task two = await_one(queue, write_back_of(queue, full, "x", 0), failed);
    const owned_task three = await_one(queue, write_back_of(queue, file, "def", 3), written);
    CHECK_NOTHROW(queue.sync());
    queue.resume();
    CHECK_FALSE(read);
    CHECK(queue.poll() == 3);
    REQUIRE((read && failed && written));
    CHECK((one.is_done() && two.is_done() && three.is_done()));
    CHECK(read->data == "abc");
    CHECK(failed->error == std::errc::no_space_on_device);
    CHECK_FALSE(written->error);
    CHECK(contents(file) == "abcdef");
    CHECK_NOTHROW(queue.sync());
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("coroutines without an owner share a queue", "[coroutine]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(40);
    const descriptor from = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 512});
    std::vector<descriptor> files;
    for (int i = 0; i < 5; ++i) files.push_back(temp_file());
    std::size_t wrong = 0;
    std::size_t done = 0;
    for (const descriptor& to : files) copy(queue, from, to, text.size(), wrong, done);
    CHECK(submitted(queue) == files.size());
    SECTION("that waits") { CHECK_FALSE(queue.wait()); }
    SECTION("that runs one after the other") {
      while (queue.run_one() == 1) {
      }
    }
    SECTION("that polls") {
      if (world.is_stuck)
        CHECK_FALSE(queue.wait());
      else
        poll_until(world, queue, [&] { return done == files.size(); });
    }
    CHECK(done == files.size());
    CHECK(wrong == 0);
    for (const descriptor& to : files) CHECK((contents(to) == text));
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("a coroutine awaits without recursion", "[coroutine]") {
  on_every_executor([](const auto& world) {
    const descriptor null = open_path("/dev/null", O_RDWR);
    auto queue = world.queue({.buffer_size = 64});
    stack_depth depth;
    int count = 0;
    const owned_task task = loop(queue, null, 10'000, depth, count);
    CHECK_FALSE(queue.wait());
    CHECK(task.is_done());
    CHECK(count == 10'000);
    CHECK(depth.highest - depth.lowest < 4096);
  });
}

namespace {

template <class Queue>
owned_task await_refused(Queue& queue, asioq::asio_request& request, std::stop_token stop, int& caught,
                         std::optional<outcome>& result) {
  for (int i = 0; i < 3; ++i) {
    try {
      static_cast<void>(co_await queue.async_submit(std::move(request), stop));
    } catch (const refusal&) {
      ++caught;
    }
  }
  co_await std::suspend_always{};
  asioq::asio_request done = co_await queue.async_submit(std::move(request));
  result.emplace(done);
}

template <class Queue>
owned_task await_what_cannot_be_submitted(Queue& queue, asioq::asio_request request) {
  request = co_await queue.async_submit(std::move(request));
}

}  // namespace

TEST_CASE("what submitting throws comes out of co_await, and the request stays", "[coroutine]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file();
    pumped_sink pump;
    refusing_sink sink{pump};
    asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink}, {.buffer_size = 512, .order = order}};
    asioq::asio_request request = write_back_of(queue, file, "text", 0);
    sink.refusing = true;
    std::stop_source source;
    source.request_stop();
    int caught = 0;
    std::optional<outcome> result;
    {
      const owned_task task = await_refused(queue, request, source.get_token(), caught, result);
      CHECK(caught == 3);
      CHECK_FALSE(task.is_done());
      REQUIRE(request);
      CHECK(text_of(request.buffer().first(4)) == "text");
    }
    sink.refusing = false;
    queue.submit(std::move(request));  // the token of the refused submissions does not concern this one
    queue.sync();
    CHECK(contents(file) == "text");
    CHECK_THROWS_AS(await_what_cannot_be_submitted(queue, {}).rethrow(), std::invalid_argument);
    CHECK_THROWS_AS(await_what_cannot_be_submitted(queue, queue.get()).rethrow(), std::invalid_argument);
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("a queue that goes resumes the coroutines, which can submit no more", "[coroutine][lifetime]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    int count = 0;
    stack_depth depth;
    std::optional<owned_task> task;
    {
      auto queue = world.queue({.buffer_size = 64});
      task.emplace(loop(queue, file, 3, depth, count));
    }
    CHECK(task->is_done());
    CHECK(count == 1);
    try {
      task->rethrow();
      FAIL("nothing was thrown");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::operation_not_permitted);
    }
    CHECK(contents(file) == "x");
  });
}

TEST_CASE("the request of a coroutine that is destroyed goes on and recycles itself", "[coroutine][lifetime]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    std::optional<outcome> none;
    const std::stop_source source;
    for (std::uint64_t i = 0; i < 10; ++i) {
      const auto token = i % 2 == 0 ? source.get_token() : std::stop_token();
      static_cast<void>(await_one(queue, write_of(queue, file, "x", i), none, token));
      static_cast<void>(await_one(queue, write_back_of(queue, file, "y", 10 + i), none, token));
    }
    noting_receiver receiver;
    queue.submit(read_of(queue, file, 20, 0), receiver);
    CHECK_FALSE(queue.wait());
    CHECK_FALSE(none);
    CHECK(receiver.all.at(0).data == std::string(10, 'x') + std::string(10, 'y'));
    CHECK(queue.allocated_requests() == 0);
    CHECK(queue.poll() == 0);
    CHECK(queue.run_one() == 0);
  });
}

TEST_CASE("a failure that a destroyed coroutine does not get is a lost one", "[coroutine][lost]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor write_only = open_path("/dev/null", O_WRONLY);
    std::vector<std::string> losses;
    asioq::queue_options options{.buffer_size = 512};
    options.on_lost_failure = [&](asioq::asio_request& request) {
      losses.push_back(text_of(request.buffer().first(request.length())));
    };
    std::optional<outcome> none;
    {
      auto queue = world.queue(options);
      static_cast<void>(await_one(queue, write_of(queue, full, "one", 0), none));
      static_cast<void>(await_one(queue, write_back_of(queue, full, "two", 0), none));
      static_cast<void>(await_one(queue, read_of(queue, write_only, 3), none));  // a read loses nothing
      queue.sync();
      CHECK(losses.empty());
      CHECK(queue.poll() == 3);
      CHECK(losses == std::vector<std::string>{"one", "two"});
      static_cast<void>(await_one(queue, write_of(queue, full, "three", 0), none));
    }
    CHECK(losses == std::vector<std::string>{"one", "two", "three"});
    CHECK_FALSE(none);
  });
}

TEST_CASE("a failure that a destroyed coroutine does not get tells the owner of no other", "[coroutine][lost]") {
  const ending end = run_in_child([] {
    const descriptor full = open_path("/dev/full", O_RDWR);
    std::optional<outcome> none;
    asioq::basic_asio_queue<asioq::inline_executor> queue({.buffer_size = 512});
    static_cast<void>(await_one(queue, write_of(queue, full, "one", 0), none));
    static_cast<void>(queue.poll());
    queue.submit(write_of(queue, full, "three", 0));
    return 0;
  });
  CHECK(end.signal == SIGABRT);
  CHECK(end.errors.find("3 bytes") != std::string::npos);
  CHECK(end.errors.find("5 bytes") != std::string::npos);
}

TEST_CASE("a delivery may destroy a coroutine that is next", "[coroutine][lifetime]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    std::optional<owned_task> victim;
    std::optional<outcome> none;
    bool was_called = false;
    calling_receiver killer([&](asioq::asio_request) {
      was_called = true;
      victim->destroy();
    });
    queue.submit(read_of(queue, file, 3, 0), killer);
    victim.emplace(await_one(queue, read_of(queue, file, 3, 0), none));
    queue.sync();
    CHECK(queue.poll() == 2);
    CHECK(was_called);
    CHECK_FALSE(none);
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("a request whose token was stopped before comes back cancelled", "[coroutine][stop]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    std::stop_source source;
    source.request_stop();
    asioq::asio_request back;
    for (int i = 0; i < 3; ++i) {
      asioq::asio_request request =
          i % 2 == 0 ? write_of(queue, file, "text", 0) : write_back_of(queue, file, "text", 0);
      const owned_task task = await_and_keep(queue, std::move(request), back, source.get_token());
      CHECK_FALSE(queue.wait());
      REQUIRE(back);
      CHECK(back.error() == std::errc::operation_canceled);
      CHECK(back.bytes_transferred() == 0);
      CHECK(text_of(back.buffer().first(4)) == "text");
    }
    CHECK(contents(file).empty());
    queue.submit(std::move(back));  // which the token does not concern
    CHECK_FALSE(queue.wait().error());
    CHECK(contents(file) == "text");
  });
}

TEST_CASE("a request that has not begun can be stopped, and no other is", "[coroutine][stop]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file();
    pumped_sink sink;
    asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink}, {.buffer_size = 512, .order = order}};
    // Requests that continue one another, which may leave together.
    constexpr std::size_t count = 9;
    std::vector<std::stop_source> sources(count);
    std::vector<asioq::asio_request> back(count);
    std::vector<owned_task> tasks;
    const bool writes_back = GENERATE(false, true);
    const std::string text = "abcdefghi";
    for (std::size_t i = 0; i < count; ++i) {
      const std::string one = text.substr(i, 1);
      asioq::asio_request request = writes_back ? write_back_of(queue, file, one, i) : write_of(queue, file, one, i);
      tasks.push_back(await_and_keep(queue, std::move(request), back[i], sources[i].get_token()));
    }
    const std::vector<std::size_t> stopped = GENERATE(std::vector<std::size_t>{0}, std::vector<std::size_t>{1, 2, 5},
                                                      std::vector<std::size_t>{8}, std::vector<std::size_t>{0, 8});
    std::string expected = text;
    for (const std::size_t i : stopped) {
      sources[i].request_stop();
      expected[i] = '\0';
    }
    while (!expected.empty() && expected.back() == '\0') expected.pop_back();
    SECTION("a task carries them out") {
      sink.run_all();
      CHECK(queue.poll() == count);
    }
    SECTION("the owner carries them out") { CHECK_FALSE(queue.wait()); }
    for (std::size_t i = 0; i < count; ++i) {
      REQUIRE(back[i]);
      CHECK(tasks[i].is_done());
      CHECK(back[i].sequence() == i);
      CHECK((back[i].error() == std::errc::operation_canceled) == (std::ranges::count(stopped, i) == 1));
      CHECK(text_of(back[i].buffer().first(1)) == text.substr(i, 1));
    }
    CHECK(contents(file) == expected);
    for (const std::size_t i : stopped) queue.submit(std::move(back[i]));
    queue.sync();
    CHECK(contents(file) == text);
  });
}

TEST_CASE("what has begun is not stopped", "[coroutine][stop]") {
  on_every_threaded_executor([](const auto& world) {
    const pipe_ends pipe;
    const std::string block(pipe.shrink(), 'x');
    auto queue = world.queue({.buffer_size = 2 * block.size()});
    std::stop_source source;
    std::optional<outcome> result;
    const owned_task task =
        await_one(queue, write_of(queue, pipe.write_end, block + block), result, source.get_token());
    CHECK((pipe.take(1) == "x"));  // so it has begun, and cannot end
    source.request_stop();
    CHECK(queue.poll() == 0);
    CHECK((pipe.take(2 * block.size() - 1) == (block + block).substr(1)));
    CHECK_FALSE(queue.wait());
    REQUIRE(result);
    CHECK_FALSE(result->error);
    CHECK(result->bytes == 2 * block.size());
  });
}

TEST_CASE("a token that is stopped too late leaves no trace", "[coroutine][stop]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512, .max_requests = 1});
    std::stop_source source;
    std::optional<outcome> result;
    owned_task task = await_one(queue, write_of(queue, file, "one", 0), result, source.get_token());
    queue.sync();  // it has finished, and has not been delivered
    source.request_stop();
    SECTION("and it is delivered") {
      CHECK(queue.poll() == 1);
      REQUIRE(result);
      CHECK_FALSE(result->error);
    }
    SECTION("and its coroutine is destroyed") {
      task.destroy();
      CHECK(queue.poll() == 1);
      CHECK_FALSE(result);
    }
    // The same request again, as there is only one.
    queue.submit(write_of(queue, file, "two", 3));
    CHECK_FALSE(queue.wait().error());
    queue.submit(write_back_of(queue, file, "six", 6));
    CHECK_NOTHROW(queue.sync());
    CHECK(contents(file) == "onetwosix");
  });
}

TEST_CASE("a token that is stopped when the coroutine is gone has nothing to stop", "[coroutine][stop][lifetime]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file();
    pumped_sink sink;
    asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink}, {.buffer_size = 512, .order = order}};
    std::stop_source source;
    std::optional<outcome> none;
    static_cast<void>(await_one(queue, write_of(queue, file, "one", 0), none, source.get_token()));
    source.request_stop();
    sink.run_all();
    CHECK(queue.poll() == 1);
    CHECK(contents(file) == "one");
  });
}

namespace {

/// Stops whatever is there to be stopped, from a thread of its own, at any moment.
class stopper {
 public:
  std::stop_token renew() {
    const std::lock_guard lock(mutex_);
    current_ = std::stop_source();
    return current_.get_token();
  }

 private:
  void run(const std::stop_token& end) {
    for (auto random = random_source(7); !end.stop_requested();) {
      for (std::size_t pause = below(random, 4); pause > 0; --pause) std::this_thread::yield();
      for (std::size_t i = below(random, 2000); i > 0; --i) std::atomic_signal_fence(std::memory_order_seq_cst);
      std::stop_source victim(std::nostopstate);
      {
        const std::lock_guard lock(mutex_);
        victim = current_;
      }
      victim.request_stop();
    }
  }

  std::mutex mutex_;  // protects current_
  std::stop_source current_;
  std::jthread thread_{[this](const std::stop_token& end) { run(end); }};
};

struct tally {
  std::size_t written = 0;
  std::size_t stopped = 0;
  std::size_t wrong = 0;
};

/// Writes the numbers from `first` on to the file, again and again until it succeeds.
template <class Queue>
owned_task write_in_spite(Queue& queue, const descriptor& file, stopper& stops, std::uint64_t first,
                          std::uint64_t count, tally& sums) {
  asioq::asio_request request = queue.get();
  for (std::uint64_t i = first; i < first + count; ++i) {
    const std::string text = pattern(32, static_cast<unsigned>(i));
    set_text(request, text);
    request.prepare_write(file.get(), 32, 32 * i);
    for (bool again = true; again;) {
      const std::stop_token stop = stops.renew();
      request = co_await queue.async_submit(std::move(request), stop);
      sums.wrong += text_of(request.buffer().first(32)) == text ? 0 : 1;
      again = static_cast<bool>(request.error());
      if (!again) continue;
      ++sums.stopped;
      sums.wrong += request.error() == std::errc::operation_canceled && request.bytes_transferred() == 0 ? 0 : 1;
      if (i % 3 != 0) continue;
      // The token that has ended it does not concern its next submission.
      request = co_await queue.async_submit(std::move(request));
      sums.wrong += request.error() ? 1 : 0;
      again = false;
    }
    ++sums.written;
  }
}

}  // namespace

TEST_CASE("tokens that are stopped at any moment lose no request and no data", "[coroutine][stop][random]") {
  on_every_executor([](const auto& world) {
    INFO("seed " << run_seed());
    constexpr std::uint64_t count = 300;
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    stopper stops;
    tally sums;
    std::vector<owned_task> tasks;
    for (std::uint64_t i = 0; i < 4; ++i) tasks.push_back(write_in_spite(queue, file, stops, i * count, count, sums));
    CHECK_FALSE(queue.wait());
    CHECK(std::ranges::all_of(tasks, &owned_task::is_done));
    CHECK(sums.written == 4 * count);
    CHECK(sums.wrong == 0);
    std::string expected;
    for (std::uint64_t i = 0; i < 4 * count; ++i) expected += pattern(32, static_cast<unsigned>(i));
    CHECK((contents(file) == expected));
    tasks.clear();
    CHECK(queue.allocated_requests() == 0);
  });
}
