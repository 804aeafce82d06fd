#include "catch.hpp"
#include "child.hpp"
#include "every_executor.hpp"
#include "receivers.hpp"
#include "requests.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

using namespace asioq_test;
using namespace std::chrono_literals;

namespace {

/// From 0 to `count` - 1.
std::vector<std::uint64_t> numbers(std::uint64_t count) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 0; i < count; ++i) all.push_back(i);
  return all;
}

/// Whether the call refuses to deliver.
template <class Call>
bool refuses_delivery(Call call) noexcept {
  try {
    static_cast<void>(call());
    return false;
  } catch (const std::system_error& error) {
    return error.code() == std::errc::resource_deadlock_would_occur;
  }
}

/// Ways to have finished requests delivered.
enum class way { wait, try_wait, wait_for, wait_until, wait_with_token, poll, run_one };

/// A few requests of all kinds with a receiver, some of which fail.
template <class Queue>
std::size_t submit_all_kinds(Queue& queue, const descriptor& file, const descriptor& full,
                             asioq::completion& receiver) {
  queue.submit(read_of(queue, file, 3, 0), receiver);
  queue.submit(write_of(queue, file, "write", 10), receiver);
  queue.submit(write_back_of(queue, file, "back", 20), receiver);
  queue.submit(fsync_of(queue, file), receiver);
  queue.submit(write_of(queue, full, "fails", 0), receiver);
  queue.submit(write_back_of(queue, full, "fails", 0), receiver);
  queue.submit(write_back_of(queue, file, "more", 30), receiver);
  return 7;
}

}  // namespace

TEST_CASE("a receiver gets each of its requests once, whatever it is and however it went", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const descriptor full = open_path("/dev/full", O_RDWR);
    noting_receiver receiver;
    {
      auto queue = world.queue({.buffer_size = 512});
      const std::size_t count = submit_all_kinds(queue, file, full, receiver);
      CHECK_FALSE(queue.wait());
      REQUIRE(receiver.all.size() == count);
      CHECK(receiver.sequences() == numbers(count));
      CHECK(receiver.all[0].data == "abc");
      CHECK(receiver.all[1].op == asioq::asio_op::write);
      CHECK(receiver.all[2].op == asioq::asio_op::write_back);
      CHECK(receiver.all[2].data == "back");
      CHECK(receiver.all[3].op == asioq::asio_op::fsync);
      for (const std::size_t good : {0U, 1U, 2U, 3U, 6U}) CHECK_FALSE(receiver.all[good].error);
      for (const std::size_t bad : {4U, 5U}) CHECK(receiver.all[bad].error == std::errc::no_space_on_device);
      CHECK(queue.poll() == 0);
      CHECK(queue.run_one() == 0);
      CHECK_FALSE(queue.try_wait());
      CHECK_NOTHROW(queue.sync());
      CHECK(queue.allocated_requests() == 0);
    }
    CHECK(receiver.all.size() == 7);  // not told again at the end, nor reported as lost
  });
}

TEST_CASE("a receiver gets what a hold has cancelled, and may resume and submit it again", "[completion][hold]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512, .on_failure = asioq::failure_policy::hold});
    CHECK(run(queue, write_of(queue, full, "fails")).error());
    std::vector<outcome> all;
    calling_receiver again([&](asioq::asio_request request) {
      all.emplace_back(request);
      if (!request.error()) return;
      queue.resume();
      queue.submit(std::move(request), again);
    });
    queue.submit(write_of(queue, file, "one", 0), again);
    CHECK_FALSE(queue.wait());
    REQUIRE(all.size() == 2);
    CHECK(all[0].error == std::errc::operation_canceled);
    CHECK(all[0].bytes == 0);
    CHECK_FALSE(all[1].error);
    CHECK(contents(file) == "one");
  });
}

TEST_CASE("a receiver gets what cancel() has ended, and what it has not", "[completion][cancel]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 100});
    std::string expected(50, '\0');
    std::vector<std::uint64_t> sequences;
    std::size_t wrong = 0;
    calling_receiver receiver([&](asioq::asio_request request) {
      const std::uint64_t at = request.sequence();
      sequences.push_back(at);
      if (!request.error())
        expected[at] = 'x';
      else
        wrong += request.error() == std::errc::operation_canceled ? 0 : 1;
      wrong += text_of(request.buffer().first(1)) == "x" ? 0 : 1;
    });
    for (std::uint64_t i = 0; i < 50; ++i)
      queue.submit(i % 2 == 0 ? write_of(queue, file, "x", i) : write_back_of(queue, file, "x", i), receiver);
    queue.cancel();
    CHECK_FALSE(queue.wait());
    CHECK(sequences == numbers(50));
    CHECK(wrong == 0);
    std::string written = contents(file);
    written.resize(50);
    CHECK((written == expected));
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("only the calls that say so deliver", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    std::size_t count = submit_all_kinds(queue, file, full, receiver);
    queue.sync();
    static_cast<void>(queue.native_handle());
    for (int i = 0; i < 3; ++i) {
      static_cast<void>(queue.get());
      static_cast<void>(queue.try_get());
      count += submit_all_kinds(queue, file, full, receiver);
      queue.sync();
      queue.resume();
      queue.cancel();
      queue.shrink_to_fit();
      CHECK(queue.native_handle() == queue.native_handle());
      CHECK(queue.running_requests() == 0);
      CHECK(queue.allocated_requests() == count);
    }
    CHECK(receiver.all.empty());
    CHECK(queue.poll() == count);
    CHECK(receiver.sequences() == numbers(count));
  });
}

TEST_CASE("each call that delivers does", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const descriptor full = open_path("/dev/full", O_RDWR);
    noting_receiver receiver;
    std::uint64_t submitted = 0;
    {
      auto queue = world.queue({.buffer_size = 512});
      for (const way its :
           {way::wait, way::try_wait, way::wait_for, way::wait_until, way::wait_with_token, way::poll, way::run_one}) {
        const std::size_t count = submit_all_kinds(queue, file, full, receiver);
        submitted += count;
        queue.sync();
        switch (its) {
          case way::wait:
            CHECK_FALSE(queue.wait());
            break;
          case way::try_wait:
            CHECK_FALSE(queue.try_wait());
            break;
          case way::wait_for:
            CHECK_FALSE(queue.wait_for(0s));
            break;
          case way::wait_until:
            CHECK_FALSE(queue.wait_until(std::chrono::system_clock::now()));
            break;
          case way::wait_with_token: {
            const std::stop_source source;
            CHECK_FALSE(queue.wait(source.get_token()));
            break;
          }
          case way::poll:
            CHECK(queue.poll() == count);
            break;
          case way::run_one:
            for (std::size_t i = 1; i <= count; ++i) {
              CHECK(queue.run_one() == 1);
              CHECK(receiver.all.size() == submitted - count + i);
            }
            CHECK(queue.run_one() == 0);
            break;
        }
        CHECK(receiver.all.size() == submitted);
      }
      submitted += submit_all_kinds(queue, file, full, receiver);
    }
    CHECK(receiver.sequences() == numbers(submitted));  // the destructor has delivered the last of them
  });
}

TEST_CASE("run_one waits for one request with a receiver, and for no other", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    CHECK(queue.run_one() == 0);
    queue.submit(read_of(queue, file, 3, 0));
    queue.submit(write_back_of(queue, file, "x", 10));
    CHECK(queue.run_one() == 0);
    for (int i = 0; i < 5; ++i) {
      queue.submit(read_of(queue, file, 3, 0));
      queue.submit(write_back_of(queue, file, "x", 10), receiver);
    }
    for (std::size_t i = 1; i <= 5; ++i) {
      CHECK(queue.run_one() == 1);
      CHECK(receiver.all.size() == i);
    }
    CHECK(queue.run_one() == 0);
    CHECK(drain(queue).size() == 6);
  });
}

TEST_CASE("poll delivers what runs without the owner", "[completion]") {
  on_every_executor([](const auto& world) {
    if (world.is_stuck) return;
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    for (int i = 0; i < 100; ++i) queue.submit(read_of(queue, file, 3, 0), receiver);
    poll_until(world, queue, [&] { return receiver.all.size() == 100; });
    CHECK(receiver.sequences() == numbers(100));
  });
}

TEST_CASE("a handle that is not collected holds up no delivery", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    for (int i = 0; i < 10; ++i) {
      queue.submit(read_of(queue, file, 3, 0));
      queue.submit(read_of(queue, file, 2, 0), receiver);
    }
    queue.submit(write_back_of(queue, full, "x", 0));
    queue.submit(read_of(queue, file, 1, 0), receiver);
    CHECK_THROWS_AS(queue.sync(), asioq::write_back_error);
    CHECK(queue.poll() == 11);
    for (std::size_t i = 0; i < 10; ++i) CHECK(receiver.all[i].sequence == 2 * i + 1);
    const std::vector<outcome> collected = drain(queue);
    REQUIRE(collected.size() == 11);
    for (std::size_t i = 0; i < 11; ++i) CHECK(collected[i].sequence == 2 * i);
    CHECK(receiver.all.size() == 11);
  });
}

TEST_CASE("a wait delivers what is older than what it returns", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    std::size_t wrong = 0;
    for (std::size_t round = 1; round <= 50; ++round) {
      for (int i = 0; i < 3; ++i) queue.submit(read_of(queue, file, 2, 0), receiver);
      queue.submit(read_of(queue, file, 3, 0));
      const asioq::asio_request done = queue.wait();
      wrong += done.sequence() == 4 * round - 1 ? 0 : 1;
      wrong += receiver.all.size() == 3 * round ? 0 : 1;
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("a failed write-back with a receiver is no error of the queue", "[completion][write_back]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    queue.submit(write_back_of(queue, full, "x", 0), receiver);
    CHECK_NOTHROW(queue.sync());
    CHECK_NOTHROW(queue.submit(write_back_of(queue, file, "one", 0)));
    CHECK_NOTHROW(queue.submit(write_back_of(queue, file, "two", 3), receiver));
    CHECK_NOTHROW(queue.sync());
    CHECK(queue.poll() == 2);
    CHECK(receiver.all[0].error == std::errc::no_space_on_device);
    CHECK(contents(file) == "onetwo");

    // One without a receiver raises it as ever, but not for those that have one.
    queue.submit(write_back_of(queue, full, "x", 7));
    CHECK_THROWS_AS(queue.sync(), asioq::write_back_error);
    CHECK_NOTHROW(queue.submit(write_back_of(queue, file, "six", 6), receiver));
    asioq::asio_request plain = write_back_of(queue, file, "plain", 0);
    CHECK_THROWS_AS(queue.submit(std::move(plain)), asioq::write_back_error);
    CHECK(queue.wait().offset() == 7);
    CHECK_NOTHROW(queue.submit(std::move(plain)));
    CHECK_NOTHROW(queue.sync());
    CHECK_FALSE(queue.wait());
    CHECK(receiver.all.size() == 3);
  });
}

TEST_CASE("write-backs with a receiver need room, until they have finished", "[completion][write_back][throttle]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    for (const std::size_t most : {1U, 3U}) {
      auto queue = world.queue({.buffer_size = 512, .max_writebacks = most});
      noting_receiver receiver;
      std::size_t too_many = 0;
      for (std::uint64_t i = 0; i < 60; ++i) {
        if (i % 3 == 0)
          queue.submit(write_back_of(queue, file, "x", i));
        else
          queue.submit(write_back_of(queue, file, "y", i), receiver);
        too_many += queue.running_writebacks() > most ? 1 : 0;
      }
      CHECK(too_many == 0);
      CHECK(receiver.all.empty());  // and those that wait for their delivery take none
      CHECK_FALSE(queue.wait());
      CHECK(receiver.all.size() == 40);
      CHECK(queue.running_writebacks() == 0);
    }
  });
}

TEST_CASE("a receiver may call all that does not deliver", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 1});
    noting_receiver later;
    std::size_t wrong = 0;
    std::size_t called = 0;
    calling_receiver receiver([&](asioq::asio_request request) {
      ++called;
      wrong += text_of(request.data()) == "abc" ? 0 : 1;
      for (int i = 0; i < 3; ++i) queue.submit(write_back_of(queue, file, "def", 0), later);  // also without room
      queue.sync();
      wrong += queue.running_requests() == 0 && queue.running_writebacks() == 0 ? 0 : 1;
      queue.submit(read_of(queue, file, 3, 0));
      queue.resume();
      queue.cancel();
      wrong += queue.native_handle() == queue.native_handle() ? 0 : 1;
      wrong += queue.completed_through() >= 4 ? 0 : 1;
      wrong += queue.allocated_requests() == 5 ? 0 : 1;
      queue.shrink_to_fit();
      wrong += later.all.empty() ? 0 : 1;
      const std::stop_source source;
      const auto now = std::chrono::steady_clock::now();
      wrong += refuses_delivery([&] { return queue.wait(); }) ? 0 : 1;
      wrong += refuses_delivery([&] { return queue.wait(source.get_token()); }) ? 0 : 1;
      wrong += refuses_delivery([&] { return queue.try_wait(); }) ? 0 : 1;
      wrong += refuses_delivery([&] { return queue.wait_for(1s); }) ? 0 : 1;
      wrong += refuses_delivery([&] { return queue.wait_until(now); }) ? 0 : 1;
      wrong += refuses_delivery([&] { return queue.poll(); }) ? 0 : 1;
      wrong += refuses_delivery([&] { return queue.run_one(); }) ? 0 : 1;
    });
    queue.submit(read_of(queue, file, 3, 0), receiver);
    CHECK(queue.wait());
    CHECK(called == 1);
    CHECK(wrong == 0);
    CHECK_FALSE(queue.wait());
    CHECK(later.all.size() == 3);
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("a receiver may end its own life", "[completion]") {
  struct mortal final : asioq::completion {
    explicit mortal(int& its_ends) : ends(its_ends) {}
    ~mortal() { ++ends; }
    void finished(asioq::asio_request request) noexcept override {
      const asioq::asio_request kept = std::move(request);
      delete this;
    }
    int& ends;
  };
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    int ends = 0;
    auto queue = world.queue({.buffer_size = 512});
    for (int i = 0; i < 10; ++i) queue.submit(read_of(queue, file, 3, 0), *std::make_unique<mortal>(ends).release());
    CHECK_FALSE(queue.wait());
    CHECK(ends == 10);
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("a chain of submissions needs no stack", "[completion]") {
  on_every_executor([](const auto& world) {
    constexpr int links = 10'000;
    const descriptor null = open_path("/dev/null", O_RDWR);
    auto queue = world.queue({.buffer_size = 64});
    int count = 0;
    std::uintptr_t lowest = std::numeric_limits<std::uintptr_t>::max();
    std::uintptr_t highest = 0;
    calling_receiver chain([&](asioq::asio_request request) {
      const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
      lowest = std::min(lowest, here);
      highest = std::max(highest, here);
      if (++count < links) queue.submit(std::move(request), chain);
    });
    queue.submit(write_of(queue, null, "x"), chain);
    CHECK_FALSE(queue.wait());
    CHECK(count == links);
    CHECK(highest - lowest < 4096);
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("a receiver that submits for ever keeps no call that does not wait for it", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor null = open_path("/dev/null", O_RDWR);
    auto queue = world.queue({.buffer_size = 64});
    bool goes_on = true;
    std::size_t count = 0;
    calling_receiver chain([&](asioq::asio_request request) {
      ++count;
      if (goes_on) queue.submit(std::move(request), chain);
    });
    queue.submit(write_of(queue, null, "x"), chain);
    for (int i = 0; i < 100; ++i) {
      const std::size_t before = count;
      const std::size_t delivered = queue.poll();
      CHECK(delivered == count - before);
      CHECK(delivered <= 1);
      CHECK_FALSE(queue.try_wait());
      CHECK(count - before <= 2);
      CHECK_FALSE(queue.wait_for(0s));
    }
    CHECK_FALSE(queue.wait_for(1ms));
    const std::size_t before = count;
    CHECK(queue.run_one() == 1);
    CHECK(count == before + 1);
    goes_on = false;
    CHECK_FALSE(queue.wait());
    CHECK(queue.run_one() == 0);
  });
}

TEST_CASE("the destructor delivers, and takes no more", "[completion][lifetime]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor full = open_path("/dev/full", O_RDWR);
    std::vector<asioq::asio_request> kept;
    std::size_t refused = 0;
    std::size_t lost = 0;
    {
      std::function<void(asioq::asio_request)> then;
      calling_receiver receiver([&](asioq::asio_request request) { then(std::move(request)); });
      asioq::queue_options options{.buffer_size = 512};
      options.on_lost_failure = [&](asioq::asio_request&) { ++lost; };
      auto queue = world.queue(options);
      then = [&](asioq::asio_request request) {
        try {
          queue.submit(std::move(request), receiver);
        } catch (const std::system_error& error) {
          refused += error.code() == std::errc::operation_not_permitted ? 1 : 0;
        }
        queue.sync();
        queue.cancel();
        kept.push_back(std::move(request));
      };
      for (std::uint64_t i = 0; i < 5; ++i) queue.submit(write_back_of(queue, file, "x", i), receiver);
      queue.submit(write_of(queue, full, "fails"), receiver);
    }
    CHECK(refused == 6);
    CHECK(lost == 0);
    REQUIRE(kept.size() == 6);
    for (const asioq::asio_request& one : kept) CHECK(one);
    CHECK(kept[5].error() == std::errc::no_space_on_device);
    CHECK(text_of(kept[5].buffer().first(5)) == "fails");
    CHECK(contents(file) == "xxxxx");
  });
}

TEST_CASE("a queue that a receiver destroys says so and ends the program", "[completion][lifetime]") {
  const ending end = run_in_child([] {
    auto queue =
        std::make_unique<asioq::basic_asio_queue<asioq::inline_executor>>(asioq::queue_options{.buffer_size = 512});
    const descriptor null = open_path("/dev/null", O_RDWR);
    calling_receiver receiver([&](asioq::asio_request) { queue.reset(); });
    queue->submit(write_of(*queue, null, "x"), receiver);
    static_cast<void>(queue->poll());
    return 0;
  });
  CHECK(end.signal == SIGABRT);
  CHECK(end.errors.find("receiver") != std::string::npos);
}

TEST_CASE("a submission that fails leaves the request with the caller and calls no receiver", "[completion]") {
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file();
    pumped_sink pump;
    refusing_sink sink{pump};
    asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink}, {.buffer_size = 512, .order = order}};
    noting_receiver receiver;
    asioq::asio_request request = write_back_of(queue, file, "text", 0);
    sink.refusing = true;
    for (int i = 0; i < 3; ++i) {
      CHECK_THROWS_AS(queue.submit(std::move(request), receiver), refusal);
      REQUIRE(request);
      CHECK(request.length() == 4);
      CHECK(text_of(request.buffer().first(4)) == "text");
      CHECK(queue.poll() == 0);
      CHECK(queue.run_one() == 0);
      CHECK(queue.running_writebacks() == 0);
    }
    asioq::asio_request empty;
    CHECK_THROWS_AS(queue.submit(std::move(empty), receiver), std::invalid_argument);
    CHECK_THROWS_AS(queue.submit(queue.get(), receiver), std::invalid_argument);
    sink.refusing = false;
    queue.submit(std::move(request), receiver);
    pump.run_all();
    CHECK(queue.poll() == 1);
    CHECK(receiver.all.at(0).sequence == 0);
    CHECK(contents(file) == "text");
  });
}

TEST_CASE("one receiver may serve several queues, and a queue several receivers", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto one = world.queue({.buffer_size = 512});
    auto two = world.queue({.buffer_size = 512});
    noting_receiver common;
    noting_receiver own;
    for (int i = 0; i < 10; ++i) {
      one.submit(read_of(one, file, 1, 0), common);
      two.submit(read_of(two, file, 2, 0), common);
      two.submit(read_of(two, file, 3, 0), own);
    }
    CHECK_FALSE(one.wait());
    CHECK(common.all.size() >= 10);
    CHECK_FALSE(two.wait());
    CHECK(common.all.size() == 20);
    CHECK(own.all.size() == 10);
    CHECK(own.all[9].sequence == 19);
  });
}

TEST_CASE("a receiver may wait for what another queue of the same executor has", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto one = world.queue({.buffer_size = 512});
    auto two = world.queue({.buffer_size = 512});
    noting_receiver others;
    std::size_t wrong = 0;
    calling_receiver receiver([&](asioq::asio_request) {
      two.submit(read_of(two, file, 3, 0), others);
      two.submit(read_of(two, file, 3, 0));
      wrong += two.wait().bytes_transferred() == 3 ? 0 : 1;
      static_cast<void>(two.poll());
    });
    for (int i = 0; i < 10; ++i) one.submit(read_of(one, file, 3, 0), receiver);
    CHECK_FALSE(one.wait());
    CHECK(wrong == 0);
    CHECK(others.all.size() == 10);
  });
}

TEST_CASE("the receiver of one submission is not that of the next", "[completion]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 512});
    asioq::asio_request kept;
    std::size_t called = 0;
    int mine = 0;
    calling_receiver receiver([&](asioq::asio_request request) {
      ++called;
      kept = std::move(request);
    });
    asioq::asio_request first = read_of(queue, file, 3, 0);
    first.set_user_data(&mine);
    queue.submit(std::move(first), receiver);
    CHECK(queue.run_one() == 1);
    REQUIRE(kept);
    CHECK(kept.user_data() == &mine);
    queue.submit(std::move(kept));
    CHECK(queue.wait().bytes_transferred() == 3);
    CHECK(called == 1);
    queue.submit(write_back_of(queue, file, "x", 0));
    CHECK_FALSE(queue.wait());
    CHECK(called == 1);
    CHECK(queue.allocated_requests() == 0);
  });
}
