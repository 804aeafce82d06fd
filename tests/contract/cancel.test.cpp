#include "catch.hpp"
#include "child.hpp"
#include "every_executor.hpp"
#include "receivers.hpp"
#include "requests.hpp"
#include "threads.hpp"

#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <vector>

using namespace asioq_test;
using namespace std::chrono_literals;

namespace {

/// A queue whose executor runs nothing.
class stuck_queue {
 public:
  explicit stuck_queue(asioq::queue_options options) : queue(custom_executor{&sink}, std::move(options)) {}

  pumped_sink sink;
  asioq::basic_asio_queue<custom_executor> queue;
};

asioq::queue_options in_order(asioq::execution_order order) {
  return {.buffer_size = 512, .max_writebacks = 100, .order = order};
}

/// Requests of all kinds that would succeed; `texts` gets what is in their buffers.
template <class Submit>
void submit_each_kind(auto& queue, const descriptor& file, std::vector<std::string>& texts, Submit submit) {
  const auto hand_over = [&](asioq::asio_request request) {
    texts.push_back(text_of(request.buffer().first(request.length())));
    submit(std::move(request));
  };
  for (std::uint64_t i = 0; i < 4; ++i) {
    hand_over(write_of(queue, file, "write", 5 * i));  // they continue one another
    hand_over(read_of(queue, file, 3, 0));
    hand_over(write_back_of(queue, file, "write-back", 100));
    hand_over(fsync_of(queue, file));
    asioq::asio_request truncate = queue.get();
    truncate.prepare_truncate(file.get(), 1);
    hand_over(std::move(truncate));
  }
  for (std::uint64_t i = 0; i < 20; ++i) hand_over(write_of(queue, file, "more", 4 * i));
}

}  // namespace

TEST_CASE("cancel with nothing to cancel changes nothing", "[cancel]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    queue.cancel();
    CHECK_FALSE(queue.wait());
    CHECK(run(queue, read_of(queue, file, 3, 0)).bytes_transferred() == 3);
    queue.cancel();
    queue.submit(read_of(queue, file, 3, 0));
    queue.sync();
    queue.cancel();  // it has finished
    CHECK_FALSE(queue.wait().error());
    CHECK_NOTHROW(queue.sync());
  });
}

TEST_CASE("what has not begun comes back at once, in order, with its data", "[cancel]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file_with("abc");
    const auto policy = GENERATE(asioq::failure_policy::proceed, asioq::failure_policy::hold);
    asioq::queue_options options = in_order(order);
    options.on_failure = policy;
    stuck_queue its(options);
    auto& queue = its.queue;
    std::vector<std::string> texts;
    submit_each_kind(queue, file, texts, [&](asioq::asio_request request) { queue.submit(std::move(request)); });
    CHECK_FALSE(queue.try_wait());
    queue.cancel();
    CHECK(queue.running_requests() == 0);
    CHECK(queue.running_writebacks() == 0);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      asioq::asio_request back = queue.try_wait();
      REQUIRE(back);
      CHECK(back.sequence() == i);
      CHECK(back.error() == std::errc::operation_canceled);
      CHECK(back.bytes_transferred() == 0);
      CHECK(text_of(back.buffer().first(back.length())) == texts[i]);
    }
    CHECK_FALSE(queue.try_wait());
    CHECK(contents(file) == "abc");

    // What is submitted later is not concerned, and nothing is held: what was cancelled had not begun.
    queue.submit(write_of(queue, file, "new", 0));
    queue.submit(write_back_of(queue, file, "er", 3));
    CHECK_FALSE(queue.wait().error());
    CHECK_NOTHROW(queue.sync());
    CHECK(contents(file) == "newer");
    its.sink.run_all();
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("receivers get what has been cancelled, in order", "[cancel][completion]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file_with("abc");
    stuck_queue its(in_order(order));
    auto& queue = its.queue;
    std::vector<std::string> texts;
    std::size_t wrong = 0;
    std::size_t count = 0;
    calling_receiver receiver([&](asioq::asio_request back) {
      wrong += back.sequence() == count && back.error() == std::errc::operation_canceled ? 0 : 1;
      wrong += text_of(back.buffer().first(back.length())) == texts[count] ? 0 : 1;
      ++count;
    });
    submit_each_kind(queue, file, texts,
                     [&](asioq::asio_request request) { queue.submit(std::move(request), receiver); });
    CHECK(queue.poll() == 0);
    queue.cancel();
    CHECK(count == 0);
    CHECK(queue.poll() == texts.size());
    CHECK(count == texts.size());
    CHECK(wrong == 0);
    CHECK_NOTHROW(queue.sync());
    CHECK(contents(file) == "abc");
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("a write-back that cancel() has ended is an error until it is collected", "[cancel][write_back]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file();
    stuck_queue its(in_order(order));
    auto& queue = its.queue;
    queue.submit(write_back_of(queue, file, "one", 3));
    queue.submit(write_back_of(queue, file, "four", 9));
    queue.cancel();
    try {
      queue.sync();
      FAIL("sync did not throw");
    } catch (const asioq::write_back_error& error) {
      CHECK(error.code() == std::errc::operation_canceled);
      CHECK(error.offset() == 3);
    }
    asioq::asio_request next = write_back_of(queue, file, "next", 0);
    CHECK_THROWS_AS(queue.submit(std::move(next)), asioq::write_back_error);
    CHECK(queue.wait().length() == 3);
    asioq::asio_request four = queue.wait();
    CHECK(four.length() == 4);
    CHECK_NOTHROW(queue.submit(std::move(four)));
    CHECK_NOTHROW(queue.sync());
    CHECK(contents(file) == std::string(9, '\0') + "four");
  });
}

TEST_CASE("cancelled write-backs give their room back", "[cancel][write_back][throttle]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file();
    asioq::queue_options options = in_order(order);
    options.max_writebacks = 2;
    stuck_queue its(options);
    auto& queue = its.queue;
    for (int i = 0; i < 10; ++i) {
      queue.submit(write_back_of(queue, file, "x", 0));
      queue.submit(write_back_of(queue, file, "y", 1));
      queue.cancel();
      CHECK(queue.running_writebacks() == 0);
      CHECK(queue.try_wait());
      CHECK(queue.try_wait());
    }
    CHECK(contents(file).empty());
  });
}

TEST_CASE("a cancelled request that is not collected is lost as any other", "[cancel][lost]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file();
    std::size_t lost = 0;
    {
      asioq::queue_options options = in_order(order);
      options.on_lost_failure = [&](asioq::asio_request& request) {
        lost += request.error() == std::errc::operation_canceled ? 1 : 0;
      };
      stuck_queue its(options);
      its.queue.submit(write_of(its.queue, file, "x", 0));
      its.queue.submit(write_back_of(its.queue, file, "x", 0));
      its.queue.submit(read_of(its.queue, file, 1, 0));
      its.queue.cancel();
    }
    CHECK(lost == 2);
    CHECK(contents(file).empty());
  });
}

TEST_CASE("what has begun goes on, and the rest comes back behind it", "[cancel]") {
  on_every_threaded_executor([](const auto& world) {
    const pipe_ends pipe;
    const std::string block(pipe.shrink(), 'x');
    const auto policy = GENERATE(asioq::failure_policy::proceed, asioq::failure_policy::hold);
    auto queue = world.queue({.buffer_size = 2 * block.size(), .max_writebacks = 100, .on_failure = policy});
    queue.submit(write_of(queue, pipe.write_end, block + block));
    for (int i = 0; i < 5; ++i) queue.submit(write_of(queue, pipe.write_end, "never"));
    for (int i = 0; i < 5; ++i) queue.submit(write_back_of(queue, pipe.write_end, "never"));
    CHECK((pipe.take(1) == "x"));  // so the first has begun, and cannot end
    queue.cancel();
    CHECK(queue.completed_through() == 0);
    CHECK_FALSE(queue.try_wait());
    queue.submit(write_of(queue, pipe.write_end, "later"));  // is not concerned
    CHECK((pipe.take(2 * block.size() - 1) == (block + block).substr(1)));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 12);
    CHECK_FALSE(all[0].error);
    CHECK(all[0].bytes == 2 * block.size());
    for (std::size_t i = 1; i <= 10; ++i) {
      CHECK(all[i].sequence == i);
      CHECK(all[i].error == std::errc::operation_canceled);
    }
    CHECK_FALSE(all[11].error);
    CHECK(pipe.take(5) == "later");
  });
}

TEST_CASE("what was cancelled comes back while what is behind it goes on", "[cancel]") {
  asioq::thread_pool pool(1);
  const pipe_ends pipe;
  const std::string block(pipe.shrink(), 'x');
  asioq::basic_asio_queue queue{pool.executor(),
                                {.buffer_size = 2 * block.size(), .order = asioq::execution_order::as_if_serial}};
  const auto has_come = [&](std::uint64_t sequence) {
    const auto done = queue.wait_for(20s);
    return done && done.sequence() == sequence;
  };
  // Each waits for the one before.
  queue.submit(write_of(queue, pipe.write_end, block + block));
  queue.submit(write_of(queue, pipe.write_end, "never"));
  CHECK((pipe.take(1) == "x"));  // so the first has begun, and cannot end
  queue.cancel();
  queue.submit(write_of(queue, pipe.write_end, block + block));
  CHECK((pipe.take(2 * block.size() - 1) == (block + block).substr(1)));
  CHECK(has_come(0));
  CHECK(has_come(1));  // the third cannot have ended
  CHECK((pipe.take(2 * block.size()) == block + block));
  CHECK(has_come(2));
}

TEST_CASE("cancel at any moment: each request ran or came back with its data, in order", "[cancel][random]") {
  on_every_executor([](const auto& world) {
    auto random = random_source(11);
    INFO("seed " << run_seed());
    constexpr std::size_t length = 16;
    constexpr bool is_engine = std::is_same_v<std::decay_t<decltype(world.executor)>, any_io_executor>;
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 100});
    std::uint64_t next = 0;
    std::uint64_t expected_sequence = 0;
    std::size_t wrong = 0;
    std::string expected;
    const auto take_in = [&](asioq::asio_request& done) {
      const std::string text = pattern(length, static_cast<unsigned>(done.sequence()));
      wrong += text_of(done.buffer().first(length)) == text ? 0 : 1;
      const std::size_t bytes = done.bytes_transferred();
      expected.replace(done.sequence() * length, bytes, text, 0, bytes);
      if (!done.error())
        wrong += bytes == length ? 0 : 1;
      else  // an engine may end what has begun
        wrong += done.error() == std::errc::operation_canceled && (bytes == 0 || is_engine) ? 0 : 1;
      wrong += done.sequence() == expected_sequence++ ? 0 : 1;
    };
    calling_receiver receiver([&](asioq::asio_request done) { take_in(done); });
    for (int round = 0; round < 200; ++round) {
      for (std::size_t more = below(random, 12); more > 0; --more, ++next) {
        expected.append(length, '\0');
        const std::string text = pattern(length, static_cast<unsigned>(next));
        if (below(random, 2) == 0)
          queue.submit(write_back_of(queue, file, text, next * length), receiver);
        else
          queue.submit(write_of(queue, file, text, next * length), receiver);
      }
      world.nudge();
      for (std::size_t pause = below(random, 3); pause > 0; --pause) std::this_thread::yield();
      if (below(random, 2) == 0) queue.cancel();
      if (below(random, 3) == 0) static_cast<void>(queue.poll());
      if (below(random, 8) == 0) CHECK_FALSE(queue.wait());
    }
    CHECK_FALSE(queue.wait());
    CHECK(wrong == 0);
    CHECK(expected_sequence == next);
    std::string written = contents(file);
    written.resize(expected.size());
    CHECK((written == expected));
    CHECK(queue.allocated_requests() == 0);
  });
}

#ifdef ASIOQ_TEST_URING

namespace {

std::size_t bytes_in(const pipe_ends& pipe) {
  int count = 0;
  REQUIRE(::ioctl(pipe.read_end.get(), FIONREAD, &count) == 0);
  return static_cast<std::size_t>(count);
}

}  // namespace

TEST_CASE("io_uring ends transfers that have begun and may take for ever", "[cancel][uring]") {
  on_io_uring([](const auto& world) {
    const std::vector<pipe_ends> pipes(20);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    const bool has_receiver = GENERATE(false, true);
    for (int round = 0; round < 3; ++round) {
      // More than the ring has room for, so that some are in the kernel and others wait for submission.
      for (const pipe_ends& pipe : pipes) {
        asioq::asio_request request = read_of(queue, pipe.read_end, 10);
        if (has_receiver)
          queue.submit(std::move(request), receiver);
        else
          queue.submit(std::move(request));
      }
      if (round != 1) CHECK_FALSE(queue.try_wait());
      queue.cancel();
      if (round == 2) queue.cancel();
      const std::vector<outcome> all = drain(queue);
      REQUIRE(all.size() == (has_receiver ? 0 : pipes.size()));
      CHECK(receiver.all.size() == (has_receiver ? pipes.size() : 0));
      for (const std::vector<outcome>& some : {all, receiver.all}) {
        for (std::size_t i = 0; i < some.size(); ++i) {
          CHECK(some[i].sequence == i + static_cast<std::size_t>(round) * (pipes.size() + 1));
          CHECK(some[i].error == std::errc::operation_canceled);
          CHECK(some[i].bytes == 0);
        }
      }
      receiver.all.clear();
      queue.submit(write_of(queue, file, "later", 0));
      CHECK_FALSE(queue.wait().error());
    }
    // Nothing has read from the pipes.
    pipes[0].put("x");
    CHECK(run(queue, read_of(queue, pipes[0].read_end, 10)).bytes_transferred() == 1);
  });
}

TEST_CASE("io_uring reports what a transfer that is ended had done", "[cancel][uring]") {
  on_io_uring([](const auto& world) {
    const pipe_ends pipe;
    const std::string block(pipe.shrink(), 'x');
    auto queue = world.queue({.buffer_size = 3 * block.size()});
    queue.submit(write_of(queue, pipe.write_end, block + block + block));
    SECTION("at its first step") {}
    SECTION("later") {
      while (bytes_in(pipe) == 0) CHECK_FALSE(queue.try_wait());
      for (int i = 0; i < 10; ++i) CHECK_FALSE(queue.try_wait());
    }
    queue.cancel();
    const asioq::asio_request done = queue.wait();
    REQUIRE(done);
    CHECK(done.error() == std::errc::operation_canceled);
    CHECK(done.bytes_transferred() == bytes_in(pipe));
    CHECK(done.bytes_transferred() < 3 * block.size());
  });
}

TEST_CASE("with hold, what io_uring has ended is a failure only if it had done something", "[cancel][uring][hold]") {
  on_io_uring([](const auto& world) {
    const pipe_ends pipe;
    const std::string more_than_fits(pipe.shrink() + 1, 'x');
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = more_than_fits.size(), .on_failure = asioq::failure_policy::hold});
    queue.submit(read_of(queue, pipe.read_end, 1));
    CHECK_FALSE(queue.try_wait());
    queue.cancel();
    CHECK(queue.wait().error() == std::errc::operation_canceled);
    CHECK_FALSE(run(queue, write_of(queue, file, "x", 0)).error());
    queue.submit(write_of(queue, pipe.write_end, more_than_fits));
    while (bytes_in(pipe) == 0) CHECK_FALSE(queue.try_wait());
    queue.cancel();
    CHECK(queue.wait().error() == std::errc::operation_canceled);
    CHECK(run(queue, write_of(queue, file, "y", 0)).error() == std::errc::operation_canceled);
    CHECK(contents(file) == "x");
    queue.resume();
    CHECK_FALSE(run(queue, write_of(queue, file, "z", 0)).error());
  });
}

TEST_CASE("with hold, what the ring had not begun when it was cancelled is no failure", "[cancel][uring][hold]") {
  if (!asioq::uring_context::available()) return;
  asioq::uring_context ring{16};
  asioq::basic_asio_queue<asioq::uring_context::executor_type> queue{
      ring.executor(),
      {.buffer_size = 512, .order = asioq::execution_order::as_if_serial, .on_failure = asioq::failure_policy::hold}};
  const descriptor file = temp_file_with("abc");
  for (int i = 0; i < 3; ++i) CHECK_FALSE(run(queue, write_of(queue, file, "abc", 0)).error());
  queue.submit(read_of(queue, file, 1, 0));  // the ring keeps it, since the kernel completes all at once
  queue.cancel();
  const bool was_carried_out = !queue.wait().error();
  CAPTURE(was_carried_out);
  CHECK_FALSE(run(queue, write_of(queue, file, "x", 0)).error());
}

TEST_CASE("what one queue cancels is its own, also on a ring that others use", "[cancel][uring]") {
  on_io_uring([](const auto& world) {
    const pipe_ends mine;
    const pipe_ends yours;
    auto one = world.queue({.buffer_size = 512});
    auto two = world.queue({.buffer_size = 512});
    one.submit(read_of(one, mine.read_end, 1));
    two.submit(read_of(two, yours.read_end, 1));
    one.cancel();
    CHECK(one.wait().error() == std::errc::operation_canceled);
    CHECK_FALSE(two.try_wait());
    yours.put("x");
    CHECK_FALSE(two.wait().error());
  });
}

TEST_CASE("a queue that is cancelled does not wait for an empty pipe when it goes", "[cancel][uring][lifetime]") {
  if (!asioq::uring_context::available()) return;
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    const ending end = run_in_child([order] {
      const std::vector<pipe_ends> pipes(20);
      uring_engine engine;
      {
        asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(engine), {.buffer_size = 512, .order = order}};
        for (const pipe_ends& pipe : pipes) queue.submit(read_of(queue, pipe.read_end, 1));
        queue.cancel();
      }
      return 7;
    });
    CHECK(end.exit_code == 7);
    CHECK(end.errors.empty());
  }
}

#endif

TEST_CASE("a wait with a token ends when it is stopped, and nothing is lost", "[wait][stop]") {
  on_every_executor([](const auto& world) {
    if (!world.runs_by_itself() && world.pump == nullptr) return;
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(read_of(queue, pipe.read_end, 1));
    for (int i = 0; i < 20; ++i) {
      std::stop_source source;
      const std::jthread other([&] { source.request_stop(); });
      CHECK_FALSE(queue.wait(source.get_token()));
      CHECK(queue.running_requests() == 1);
    }
    pipe.put("x");
    world.nudge();
    const std::stop_source never;
    CHECK(queue.wait(never.get_token()).bytes_transferred() == 1);
    CHECK_FALSE(queue.wait(never.get_token()));
  });
}

TEST_CASE("a wait with a token that is stopped already returns what has finished, if anything", "[wait][stop]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    std::stop_source source;
    source.request_stop();
    CHECK_FALSE(queue.wait(source.get_token()));
    noting_receiver receiver;
    queue.submit(read_of(queue, file, 1, 0), receiver);
    queue.submit(read_of(queue, file, 2, 0));
    queue.submit(read_of(queue, file, 3, 0));
    queue.sync();
    CHECK(queue.wait(source.get_token()).bytes_transferred() == 2);
    CHECK(receiver.all.size() == 1);
    CHECK(queue.wait(source.get_token()).bytes_transferred() == 3);
    CHECK_FALSE(queue.wait(source.get_token()));
    queue.submit(read_of(queue, file, 3, 0));
    CHECK(queue.wait(std::stop_token()).bytes_transferred() == 3);  // which cannot be stopped
  });
}

TEST_CASE("a wait with a token ends when a request does, and delivers meanwhile", "[wait][stop][completion]") {
  on_every_executor([](const auto& world) {
    if (!world.runs_by_itself()) return;
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    const std::stop_source never;
    noting_receiver receiver;
    for (std::size_t i = 1; i <= 100; ++i) {
      queue.submit(read_of(queue, pipe.read_end, 1), receiver);
      const bool has_more = i % 2 == 0;
      if (has_more) queue.submit(read_of(queue, pipe.read_end, 1));
      const std::jthread other([&] {
        pipe.put("x");
        if (has_more) pipe.put("y");
      });
      CHECK(static_cast<bool>(queue.wait(never.get_token())) == has_more);
      CHECK(receiver.all.size() == i);
    }
  });
}

TEST_CASE("a wait with a token sees what a receiver submits, also where nothing is asynchronous", "[wait][stop]") {
  asioq::basic_asio_queue<asioq::inline_executor> queue{{.buffer_size = 512}};
  const descriptor file = temp_file_with("abc");
  int left = 5;
  calling_receiver receiver([&](asioq::asio_request done) {
    if (--left > 0) queue.submit(std::move(done), receiver);
  });
  queue.submit(read_of(queue, file, 3, 0), receiver);
  const std::stop_source never;
  CHECK_FALSE(queue.wait(never.get_token()));
  CHECK(left == 0);
}

TEST_CASE("stops and ends that meet lose nothing", "[wait][stop][random]") {
  on_every_executor([](const auto& world) {
    auto random = random_source(12);
    INFO("seed " << run_seed());
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    std::uint64_t next = 0;
    std::size_t wrong = 0;
    for (int round = 0; round < 300; ++round) {
      for (std::size_t more = below(random, 4); more > 0; --more) queue.submit(read_of(queue, file, 3, 0));
      std::stop_source source;
      const std::size_t delay = below(random, 20);
      const std::jthread other([&source, delay, pump = world.pump] {
        for (std::size_t i = 0; i < delay; ++i) std::this_thread::yield();
        if (pump != nullptr && delay % 2 == 0) pump->run_all();
        source.request_stop();
      });
      while (const asioq::asio_request done = queue.wait(source.get_token()))
        wrong += done.sequence() == next++ && !done.error() ? 0 : 1;
      if (round % 10 != 0) continue;
      while (const asioq::asio_request done = queue.wait()) wrong += done.sequence() == next++ ? 0 : 1;
    }
    while (const asioq::asio_request done = queue.wait()) wrong += done.sequence() == next++ ? 0 : 1;
    CHECK(wrong == 0);
    CHECK(queue.completed_through() == next);
  });
}
