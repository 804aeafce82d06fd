#include "catch.hpp"
#include "every_executor.hpp"
#include "readiness.hpp"
#include "receivers.hpp"
#include "requests.hpp"
#include "seed.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

using namespace asioq_test;
using namespace std::chrono_literals;

namespace {

/// Whether the descriptor says that there is something to find. A worker that has found that it has to say so may be
/// about to do it; without workers there is nothing to wait for.
template <class World>
bool shows_something(const World& world, int fd) {
  return is_readable(fd, world.has_threads ? for_long : 0);
}

}  // namespace

TEST_CASE("the descriptor is readable while there is something to find", "[event_loop]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    const int fd = queue.native_handle();
    CHECK_FALSE(is_readable(fd));
    for (int round = 0; round < 20; ++round) {
      queue.submit(read_of(queue, file, 3, 0), receiver);
      queue.submit(read_of(queue, file, 3, 0), receiver);
      queue.sync();
      for (int i = 0; i < 2; ++i) {
        CHECK(shows_something(world, fd));  // level-triggered
        CHECK(queue.native_handle() == fd);
        static_cast<void>(queue.get());
        queue.resume();
        queue.sync();
      }
      CHECK(queue.run_one() == 1);
      CHECK(shows_something(world, fd));
      CHECK(queue.poll() == 1);
      CHECK(is_silent(queue, fd));

      queue.submit(read_of(queue, file, 3, 0));
      queue.submit(read_of(queue, file, 3, 0));
      queue.submit(read_of(queue, file, 3, 0), receiver);
      queue.sync();
      CHECK(shows_something(world, fd));
      CHECK(queue.try_wait());
      CHECK(shows_something(world, fd));
      CHECK(queue.poll() == 0);  // try_wait has delivered
      CHECK(shows_something(world, fd));
      CHECK(queue.wait());
      CHECK(is_silent(queue, fd));
    }
    CHECK(receiver.all.size() == 60);
  });
}

TEST_CASE("a descriptor that is asked for late knows what there is to find", "[event_loop]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    queue.submit(read_of(queue, file, 3, 0));
    queue.submit(read_of(queue, file, 3, 0), receiver);
    queue.sync();
    const int fd = queue.native_handle();
    CHECK(shows_something(world, fd));
    CHECK(queue.poll() == 1);
    CHECK(shows_something(world, fd));
    CHECK(queue.try_wait());
    CHECK(is_silent(queue, fd));
    calling_receiver asks([&](asioq::asio_request) { CHECK(queue.native_handle() == fd); });
    queue.submit(read_of(queue, file, 3, 0), asks);
    CHECK(queue.run_one() == 1);
    CHECK(is_silent(queue, fd));
  });
}

TEST_CASE("what a receiver leaves behind can be found", "[event_loop]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    const int fd = queue.native_handle();
    noting_receiver later;
    calling_receiver first([&](asioq::asio_request request) {
      queue.submit(std::move(request), later);
      queue.sync();
    });
    queue.submit(read_of(queue, file, 3, 0), first);
    queue.sync();
    CHECK(queue.poll() == 1);
    CHECK(shows_something(world, fd));
    CHECK(later.all.empty());
    CHECK(queue.poll() == 1);
    CHECK(later.all.size() == 1);
    CHECK(is_silent(queue, fd));
  });
}

TEST_CASE("a write-back is to be found only if it has failed", "[event_loop][write_back]") {
  on_every_task_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor full = open_path("/dev/full", O_RDWR);
    if (world.is_stuck) return;
    auto queue = world.queue({.buffer_size = 512});
    const int fd = queue.native_handle();
    for (int round = 0; round < 20; ++round) {
      for (std::uint64_t i = 0; i < 5; ++i) queue.submit(write_back_of(queue, file, "x", i));
      while (queue.running_requests() != 0) world.nudge();
      for (int i = 0; i < 5; ++i) {
        CHECK_FALSE(is_readable(fd));
        std::this_thread::yield();
      }
      queue.submit(write_back_of(queue, full, "x", 0));
      world.nudge();
      CHECK(is_readable(fd, for_long));
      CHECK(queue.try_wait().error() == std::errc::no_space_on_device);
      CHECK(is_silent(queue, fd));
    }
  });
}

TEST_CASE("a failed write-back in front of what lasts can be found", "[event_loop][write_back]") {
  on_every_executor([](const auto& world) {
    if (!world.runs_by_itself()) return;
    const descriptor file = temp_file();
    const descriptor full = open_path("/dev/full", O_RDWR);
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    const int fd = queue.native_handle();
    queue.submit(write_back_of(queue, file, "x", 0));
    queue.submit(write_back_of(queue, full, "x", 0));
    queue.submit(read_of(queue, pipe.read_end, 1));
    asioq::asio_request failed;
    while (!failed) {
      REQUIRE(is_readable(fd, for_long));
      failed = queue.try_wait();
    }
    CHECK(failed.error() == std::errc::no_space_on_device);
    CHECK(is_silent(queue, fd));
    pipe.put("x");
    CHECK(is_readable(fd, for_long));
    CHECK(queue.wait());
  });
}

TEST_CASE("what is done and not in turn is not to be found", "[event_loop]") {
  on_every_executor([](const auto& world) {
    if (!world.runs_by_itself()) return;
    const pipe_ends pipe;
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    const int fd = queue.native_handle();
    noting_receiver receiver;
    for (int round = 0; round < 10; ++round) {
      set_contents(file, "");
      queue.submit(read_of(queue, pipe.read_end, 1), receiver);
      queue.submit(write_of(queue, file, "x", 0), receiver);
      if (world.order == asioq::execution_order::as_if_serial && !world.is_single) {
        while (contents(file).empty()) {
          if (world.is_kernel) CHECK(queue.poll() == 0);
          std::this_thread::yield();
        }
      }
      CHECK(is_silent(queue, fd));
      int late = 0;  // a ring may complete the write some time after the file shows it
      for (int i = 0; i < 20; ++i) {
        if (is_readable(fd)) {
          ++late;
          CHECK(queue.poll() == 0);
        }
        std::this_thread::yield();
      }
      CHECK(late <= (world.is_kernel ? 1 : 0));
      CHECK(queue.running_requests() == 2);
      pipe.put("x");
      const std::size_t before = receiver.all.size();
      while (receiver.all.size() != before + 2) {
        REQUIRE(is_readable(fd, for_long));
        static_cast<void>(queue.poll());
      }
      CHECK(is_silent(queue, fd));
    }
  });
}

namespace {

/// What a queue without threads must say of itself.
class readiness_model {
 public:
  void submitted(bool comes_back) { all_.push_back(comes_back); }
  void cancelled(std::uint64_t finished) {
    for (std::uint64_t i = finished; i < all_.size(); ++i) all_[i] = true;
  }
  void taken(std::uint64_t sequence) { all_[sequence] = false; }
  [[nodiscard]] bool has_something(std::uint64_t finished) const {
    for (std::uint64_t i = 0; i < finished; ++i)
      if (all_[i]) return true;
    return false;
  }

 private:
  std::vector<bool> all_;  // by sequence: comes back, and has not been taken
};

}  // namespace

TEST_CASE("without threads, the descriptor is readable exactly while there is something to find",
          "[event_loop][random]") {
  in_every_order([](asioq::execution_order order) {
    on_threadless_executors(order, [](const auto& world) {
      auto random = random_source(21);
      INFO("seed " << run_seed());
      const descriptor file = temp_file_with("abc");
      const descriptor full = open_path("/dev/full", O_RDWR);
      auto queue = world.queue({.buffer_size = 512, .max_writebacks = 1000});
      readiness_model model;
      calling_receiver receiver([&](asioq::asio_request done) { model.taken(done.sequence()); });
      const auto took = [&](const asioq::asio_request& done) {
        if (done) model.taken(done.sequence());
      };
      const int fd = queue.native_handle();
      std::size_t wrong = 0;
      for (int step = 0; step < 3000; ++step) {
        const std::size_t what = below(random, 14);
        try {
          switch (what) {
            case 0:
              queue.submit(read_of(queue, file, 3, 0));
              model.submitted(true);
              break;
            case 1:
            case 2:
              queue.submit(write_back_of(queue, below(random, 2) == 0 ? file : full, "x", 0), receiver);
              model.submitted(true);
              break;
            case 3:
            case 4:
              queue.submit(write_back_of(queue, file, "x", 0));
              model.submitted(false);
              break;
            case 5:
              queue.submit(write_back_of(queue, full, "x", 0));
              model.submitted(true);
              break;
            case 6:
              queue.sync();
              break;
            case 7:
              took(queue.wait());
              break;
            case 8:
              static_cast<void>(queue.poll());
              break;
            case 9:
              static_cast<void>(queue.run_one());
              break;
            case 10:
              took(queue.try_wait());
              break;
            case 11:
              queue.resume();
              static_cast<void>(queue.get());
              break;
            case 12:
              if (below(random, 8) != 0) break;
              model.cancelled(queue.completed_through());
              queue.cancel();
              break;
            default:
              if (world.pump != nullptr) world.pump->run_one();
              break;
          }
        } catch (const asioq::write_back_error&) {
        }
        wrong += is_readable(fd) == model.has_something(queue.completed_through()) ? 0 : 1;
      }
      CHECK(wrong == 0);
      while (queue.wait()) {
      }
    });
  });
}

TEST_CASE("an event loop loses no wake-up and does not spin", "[event_loop][wake_up]") {
  on_every_executor([](const auto& world) {
    if (!world.runs_by_itself()) return;
    constexpr std::uint64_t count = 2000;
    auto random = random_source(22);
    INFO("seed " << run_seed());
    const pipe_ends pipe;
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    const int fd = queue.native_handle();
    std::uint64_t submitted = 0;
    std::uint64_t harvested = 0;
    std::uint64_t from_pipe = 0;
    std::size_t wrong = 0;
    std::function<void()> submit_more;
    calling_receiver receiver([&](asioq::asio_request done) {
      wrong += done.bytes_transferred() == 1 ? 0 : 1;
      ++harvested;
      if (below(random, 2) == 0) submit_more();
    });
    submit_more = [&] {
      if (submitted == count) return;
      ++submitted;
      const bool is_pipe = below(random, 2) == 0;
      if (is_pipe) ++from_pipe;
      asioq::asio_request request = is_pipe ? read_of(queue, pipe.read_end, 1) : read_of(queue, file, 1, 0);
      if (below(random, 2) == 0)
        queue.submit(std::move(request), receiver);
      else
        queue.submit(std::move(request));
    };
    // Bytes come until the end, at any moment. The pipe never holds so many that this thread would have to wait.
    const std::jthread producer([&, pauses = random_source(23)](const std::stop_token& end) mutable {
      while (!end.stop_requested()) {
        if (is_readable(pipe.read_end.get())) {
          std::this_thread::yield();
          continue;
        }
        if (below(pauses, 4) == 0) std::this_thread::sleep_for(std::chrono::microseconds(below(pauses, 100)));
        pipe.put("x");
      }
    });
    std::uint64_t lost = 0;
    std::uint64_t idle = 0;
    while (harvested < count && lost == 0) {
      for (std::size_t more = below(random, 4); more > 0 || submitted == harvested; --more) {
        submit_more();  // also when the loop is about to sleep
        if (more == 0) break;
      }
      if (!sleep_in_loop(queue, fd, harvested)) ++lost;
      const std::uint64_t before = harvested;
      static_cast<void>(queue.poll());
      while (const asioq::asio_request done = queue.try_wait()) {
        wrong += done.bytes_transferred() == 1 ? 0 : 1;
        ++harvested;
      }
      idle += harvested == before ? 1 : 0;
    }
    CHECK(lost == 0);
    CHECK(wrong == 0);
    CHECK(idle <= 2 * count + 100);
    if (harvested != count) pipe.put(std::string(from_pipe, 'x'));  // so that the test ends
    CHECK(is_silent(queue, fd));
  });
}

TEST_CASE("what is submitted while the loop sleeps wakes it", "[event_loop][wake_up]") {
  on_every_executor([](const auto& world) {
    if (world.is_stuck) return;
    constexpr std::uint64_t count = 1000;
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    std::mutex turns;  // one thread at a time is the owner
    const int fd = queue.native_handle();
    std::uint64_t harvested = 0;
    calling_receiver receiver([&](asioq::asio_request) { ++harvested; });
    std::size_t lost = 0;
    std::thread loop([&] {
      while (harvested < count && lost == 0) {
        if (!is_readable(fd, 50)) {
          world.nudge();
          std::unique_lock lock(turns);
          const bool is_due = queue.completed_through() != harvested;
          lock.unlock();
          if (is_due && !is_readable(fd, for_long)) ++lost;
        }
        const std::lock_guard lock(turns);
        static_cast<void>(queue.poll());
        while (queue.try_wait()) ++harvested;
      }
    });
    auto random = random_source(24);
    for (std::uint64_t i = 0; i < count; ++i) {
      for (std::size_t pause = below(random, 5); pause > 0; --pause) std::this_thread::yield();
      const std::lock_guard lock(turns);
      if (below(random, 2) == 0)
        queue.submit(read_of(queue, file, 1, 0), receiver);
      else
        queue.submit(read_of(queue, file, 1, 0));
    }
    if (world.pump != nullptr) world.pump->run_all();
    loop.join();
    CHECK(lost == 0);
    while (queue.wait()) {
    }
  });
}

TEST_CASE("other calls between two sleeps of the loop cost no wake-up", "[event_loop][wake_up][random]") {
  on_every_executor([](const auto& world) {
    if (world.is_stuck) return;
    auto random = random_source(25);
    INFO("seed " << run_seed());
    const descriptor file = temp_file_with("abc");
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 3});
    const int fd = queue.native_handle();
    std::uint64_t expected = 0;
    std::uint64_t harvested = 0;
    calling_receiver receiver([&](asioq::asio_request) { ++harvested; });
    const auto take = [&](const asioq::asio_request& done) { harvested += done ? 1 : 0; };
    std::size_t lost = 0;
    for (int step = 0; step < 2000 && lost == 0; ++step) {
      try {
        switch (below(random, 12)) {
          case 0:
          case 1:
            queue.submit(read_of(queue, file, 1, 0), receiver);
            ++expected;
            break;
          case 2:
            queue.submit(read_of(queue, file, 1, 0));
            ++expected;
            break;
          case 3:
            queue.submit(write_back_of(queue, file, "x", 0));
            break;
          case 4:
            queue.submit(write_back_of(queue, full, "x", 0), receiver);
            ++expected;
            break;
          case 5:
            queue.submit(write_back_of(queue, full, "x", 0));
            ++expected;
            break;
          case 6:
            queue.sync();
            break;
          case 7:
            take(queue.wait());
            break;
          case 8:
            take(queue.try_wait());
            break;
          case 9:
            take(queue.wait_for(std::chrono::microseconds(below(random, 50))));
            break;
          case 10:
            static_cast<void>(queue.run_one());
            break;
          default:
            while (harvested != expected && lost == 0) {
              world.nudge();
              if (!is_readable(fd, for_long)) ++lost;
              static_cast<void>(queue.poll());
              take(queue.try_wait());
            }
            break;
        }
      } catch (const asioq::write_back_error&) {
      }
    }
    while (const asioq::asio_request done = queue.wait()) take(done);
    CHECK(lost == 0);
    CHECK(harvested == expected);
    CHECK(is_silent(queue, fd));
  });
}

TEST_CASE("what the executor has refused to carry out makes the descriptor readable", "[event_loop][executor]") {
  in_every_order([](asioq::execution_order order) {
    const pipe_ends pipe;
    const std::string block(pipe.shrink(), 'x');
    pumped_sink pump;
    refusing_sink sink{pump};
    asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink},
                                                   {.buffer_size = 2 * block.size(), .order = order}};
    const int fd = queue.native_handle();
    noting_receiver receiver;
    queue.submit(write_of(queue, pipe.write_end, block + block));
    queue.submit(write_of(queue, pipe.write_end, "y"), receiver);
    std::thread other([&] {
      static_cast<void>(is_readable(pipe.read_end.get(), for_long));  // the owner carries out the first
      sink.refusing = true;
      pump.run_all();  // which leaves the task nothing to do
      static_cast<void>(pipe.take(2 * block.size()));
    });
    CHECK(queue.wait().bytes_transferred() == 2 * block.size());
    other.join();
    CHECK(pump.waiting() == 0);
    CHECK(queue.running_requests() == 1);
    for (int i = 0; i < 3; ++i) {
      CHECK(is_readable(fd));
      CHECK_THROWS_AS(queue.poll(), refusal);
      CHECK_THROWS_AS(queue.try_wait(), refusal);
    }
    sink.refusing = false;
    CHECK(queue.poll() == 0);
    CHECK_FALSE(is_readable(fd));
    pump.run_all();
    CHECK(is_readable(fd));
    CHECK(queue.poll() == 1);
    CHECK_FALSE(is_readable(fd));
  });
}

TEST_CASE("queues with a descriptor come and go", "[event_loop][lifetime]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    for (int i = 0; i < 100; ++i) {
      noting_receiver receiver;
      {
        auto queue = world.queue({.buffer_size = 512});
        static_cast<void>(queue.native_handle());
        for (int k = 0; k < i % 5; ++k) queue.submit(read_of(queue, file, 3, 0), receiver);
        if (i % 2 == 0) static_cast<void>(queue.poll());
      }
      CHECK(receiver.all.size() == static_cast<std::size_t>(i % 5));
    }
  });
}

namespace {

/// An engine that has none of what is optional.
struct bare_engine {
  std::deque<asioq::io_operation*> started;
};
struct bare_executor {
  bare_engine* engine;
  void start(asioq::io_operation& operation) const { engine->started.push_back(&operation); }
  void poll() const {
    if (!engine->started.empty()) wait_until({});
  }
  void wait_until(std::chrono::steady_clock::time_point) const {
    asioq::io_operation& operation = *engine->started.front();
    engine->started.pop_front();
    operation.complete(asioq::perform(operation));
  }
  bool operator==(const bare_executor&) const = default;
};
static_assert(asioq::io_executor<bare_executor>);

}  // namespace

TEST_CASE("an engine without a descriptor has queues without one", "[event_loop][io_executor]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file_with("abc");
    bare_engine engine;
    asioq::basic_asio_queue<bare_executor> queue{bare_executor{&engine}, {.buffer_size = 512, .order = order}};
    const auto is_unsupported = [](const std::system_error& error) {
      return error.code() == std::errc::operation_not_supported;
    };
    noting_receiver receiver;
    queue.submit(read_of(queue, file, 3, 0), receiver);
    queue.submit(read_of(queue, file, 3, 0));
    const std::stop_source source;
    for (int i = 0; i < 2; ++i) {
      CHECK_THROWS_MATCHES(queue.native_handle(), std::system_error,
                           Catch::Matchers::Predicate<std::system_error>(is_unsupported));
      CHECK_THROWS_MATCHES(queue.wait(source.get_token()), std::system_error,
                           Catch::Matchers::Predicate<std::system_error>(is_unsupported));
    }
    CHECK(queue.wait(std::stop_token()).bytes_transferred() == 3);
    CHECK(receiver.all.size() == 1);
    queue.submit(read_of(queue, file, 3, 0));
    queue.cancel();
    CHECK(queue.wait());
  });
}

#ifdef ASIOQ_TEST_URING

TEST_CASE("a loop sees what other queues on its ring take in", "[event_loop][uring]") {
  on_io_uring([](const auto& world) {
    const pipe_ends pipe;
    const pipe_ends other_pipe;
    const descriptor file = temp_file_with("abc");
    auto one = world.queue({.buffer_size = 512});
    auto two = world.queue({.buffer_size = 512});
    auto blind = world.queue({.buffer_size = 512});  // which has no part in the loop
    const int fd = one.native_handle();
    CHECK(two.native_handle() == fd);
    noting_receiver receiver;
    for (int round = 0; round < 20; ++round) {
      receiver.all.clear();
      one.submit(read_of(one, pipe.read_end, 1), receiver);
      two.submit(read_of(two, other_pipe.read_end, 1), receiver);
      CHECK(is_silent(one, fd));
      CHECK(is_silent(two, fd));
      pipe.put("x");
      for (int i = 0; i < 3; ++i) CHECK(run(blind, read_of(blind, file, 3, 0)).bytes_transferred() == 3);
      CHECK(is_readable(fd, for_long));
      CHECK(two.poll() == 0);
      CHECK(is_readable(fd));
      CHECK(one.poll() == 1);
      CHECK(is_silent(two, fd));
      CHECK(is_silent(one, fd));
      other_pipe.put("y");
      CHECK(is_readable(fd, for_long));
      CHECK(one.poll() == 0);
      CHECK(is_readable(fd));
      CHECK(two.poll() == 1);
      CHECK(is_silent(one, fd));
    }
  });
}

TEST_CASE("a loop sees what a call of another queue on its ring begins", "[event_loop][uring][wake_up]") {
  on_io_uring([](const auto& world) {
    pipe_ends pipe;
    const pipe_ends other_pipe;
    const pipe_ends silent_pipe;
    const std::string block(pipe.shrink(), 'x');
    auto looping = world.queue({.buffer_size = block.size()});
    auto blind = world.queue({.buffer_size = 512});  // these have no part in the loop
    auto idle = world.queue({.buffer_size = 512});
    idle.submit(read_of(idle, silent_pipe.read_end, 1));  // else a lone operation would begin at once
    CHECK_FALSE(idle.try_wait());
    const int fd = looping.native_handle();
    for (int round = 0; round < 5; ++round) {
      pipe.put(block);
      looping.submit(write_back_of(looping, pipe.write_end, block));  // comes back from no call
      looping.submit(write_of(looping, pipe.write_end, "y"));
      blind.submit(read_of(blind, other_pipe.read_end, 1));
      CHECK_FALSE(blind.try_wait());
      CHECK(is_silent(looping, fd));
      CHECK((pipe.take(block.size()) == block));
      other_pipe.put("x");
      CHECK(is_readable(fd, for_long));
      CHECK(blind.wait().bytes_transferred() == 1);
      CHECK((pipe.take(block.size()) == block));
      bool wakes = true;
      for (asioq::asio_request done; wakes && !done; done = looping.try_wait()) wakes = is_readable(fd, for_long);
      CHECK(wakes);
      CHECK(pipe.take(1) == "y");
      CHECK(is_silent(looping, fd));
    }
    silent_pipe.put("x");
    CHECK(idle.wait());
  });
}

TEST_CASE("a wait with a token sleeps though another queue on the ring keeps the descriptor readable",
          "[event_loop][uring][stop]") {
  /// Asks to stop at its tenth sleep, or after too many looks without one.
  struct counting_engine : uring_engine {
    void poll() override {
      uring_engine::poll();
      if (++looks == 1000) source.request_stop();
    }
    void wait_until(std::chrono::steady_clock::time_point deadline) override {
      uring_engine::wait_until(deadline);
      if (++sleeps == 10) source.request_stop();
    }
    std::stop_source source;
    int looks = 0;
    int sleeps = 0;
  };

  if (!asioq::uring_context::available()) return;
  in_every_order([](asioq::execution_order order) {
    const pipe_ends pipe;
    const descriptor file = temp_file_with("abc");
    counting_engine engine;
    const world<any_io_executor> its = world_on(engine, order);
    auto queue = its.queue({.buffer_size = 512});
    auto other = its.queue({.buffer_size = 512});
    const int fd = other.native_handle();
    other.submit(read_of(other, file, 3, 0));
    other.sync();
    queue.submit(read_of(queue, pipe.read_end, 1));
    CHECK(is_readable(fd));
    engine.looks = engine.sleeps = 0;
    CHECK_FALSE(queue.wait(engine.source.get_token()));
    CHECK(engine.sleeps == 10);
    CHECK(engine.looks < 100);
    CHECK(is_readable(fd));
    CHECK(other.wait().bytes_transferred() == 3);
    pipe.put("x");
    CHECK(queue.wait().bytes_transferred() == 1);
  });
}

TEST_CASE("several queues on one ring lose no wake-up", "[event_loop][uring][wake_up]") {
  on_io_uring([](const world<any_io_executor>& its) {
    constexpr std::uint64_t count = 1000;  // for each queue
    auto random = random_source(26);
    INFO("seed " << run_seed());
    const descriptor file = temp_file_with("abc");
    struct client {
      explicit client(const world<any_io_executor>& on) : queue(on.queue({.buffer_size = 512})) {}
      pipe_ends pipe;
      decltype(its.queue()) queue;
      std::uint64_t submitted = 0;
      std::uint64_t harvested = 0;
      calling_receiver receiver{[this](asioq::asio_request) { ++harvested; }};
    };
    std::list<client> clients;
    for (int i = 0; i < 3; ++i) clients.emplace_back(its);
    auto blind = its.queue({.buffer_size = 512});
    const int fd = clients.front().queue.native_handle();
    for (client& one : clients) CHECK(one.queue.native_handle() == fd);
    const std::jthread producer([&, pauses = random_source(27)](const std::stop_token& end) mutable {
      while (!end.stop_requested()) {
        for (const client& one : clients) {
          if (below(pauses, 3) == 0 && !is_readable(one.pipe.read_end.get())) one.pipe.put("x");
        }
        std::this_thread::yield();
      }
    });
    std::uint64_t lost = 0;
    std::uint64_t open = 3;
    while (open > 0 && lost == 0) {
      for (client& one : clients) {
        if (one.submitted == count || one.submitted - one.harvested > 3) continue;
        ++one.submitted;
        if (below(random, 2) == 0)
          one.queue.submit(read_of(one.queue, one.pipe.read_end, 1), one.receiver);
        else
          one.queue.submit(read_of(one.queue, file, 1, 0));
      }
      if (below(random, 4) == 0) blind.submit(read_of(blind, file, 3, 0));
      if (below(random, 8) == 0) static_cast<void>(blind.wait());
      if (!is_readable(fd, 50)) {
        for (client& one : clients) {
          if (one.queue.completed_through() != one.harvested && !is_readable(fd)) ++lost;
        }
        if (!is_readable(fd, for_long)) ++lost;
      }
      open = 0;
      for (client& one : clients) {
        static_cast<void>(one.queue.poll());
        while (one.queue.try_wait()) ++one.harvested;
        open += one.harvested == count ? 0 : 1;
      }
    }
    CHECK(lost == 0);
    while (blind.wait()) {
    }
    for (client& one : clients) {
      while (one.queue.wait()) {
      }
    }
    for (client& one : clients) CHECK(is_silent(one.queue, fd));
  });
}

#endif
