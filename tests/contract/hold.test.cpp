#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

using namespace asioq_test;

namespace {
const asioq::queue_options holding{.buffer_size = 512, .on_failure = asioq::failure_policy::hold};
}

TEST_CASE("with hold, nothing behind a failure runs", "[hold]") {
  on_every_executor_in_strict_order([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file_with("old");
    auto queue = world.queue(holding);
    queue.submit(write_of(queue, file, "new", 0));
    queue.submit(write_of(queue, full, "fails"));
    queue.submit(write_of(queue, file, "bad", 0));
    queue.submit(write_back_of(queue, file, "bad", 0));
    queue.submit(read_of(queue, file, 3, 0));
    queue.submit(fsync_of(queue, file));

    std::vector<outcome> all;
    std::vector<std::string> kept;
    while (asioq::asio_request done = queue.wait()) {
      all.emplace_back(done);
      kept.push_back(text_of(done.buffer().first(done.length())));
    }
    REQUIRE(all.size() == 6);
    CHECK_FALSE(all[0].error);
    CHECK(all[1].error == std::errc::no_space_on_device);
    for (std::size_t i = 2; i < 6; ++i) {
      CHECK(all[i].error == std::errc::operation_canceled);
      CHECK(all[i].bytes == 0);
      CHECK(all[i].sequence == i);
    }
    CHECK(kept[2] == "bad");
    CHECK(kept[3] == "bad");
    CHECK(contents(file) == "new");
  });
}

TEST_CASE("with hold, what had to wait for the failed request does not run, in any order", "[hold]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue(holding);
    for (int i = 0; i < 5; ++i) queue.submit(write_of(queue, full, "fails", 0));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 5);
    CHECK(all[0].error == std::errc::no_space_on_device);
    for (std::size_t i = 1; i < 5; ++i) CHECK(all[i].error == std::errc::operation_canceled);
  });
}

TEST_CASE("with hold, what is submitted later is cancelled too, until resume", "[hold]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    auto queue = world.queue(holding);
    CHECK(run(queue, write_back_of(queue, full, "fails")).error() == std::errc::no_space_on_device);
    std::vector<asioq::asio_request> held;
    for (const char* text : {"one ", "two ", "three"}) {
      held.push_back(run(queue, write_back_of(queue, file, text)));
      REQUIRE(held.back());
      CHECK(held.back().error() == std::errc::operation_canceled);
    }
    CHECK(contents(file).empty());

    queue.resume();
    for (asioq::asio_request& one : held) queue.submit(std::move(one));
    queue.sync();
    CHECK_FALSE(queue.wait());
    CHECK(contents(file) == "one two three");
  });
}

TEST_CASE("resume counts for what is submitted after it", "[hold]") {
  on_every_executor_in_strict_order([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    auto queue = world.queue(holding);
    CHECK(run(queue, write_of(queue, full, "fails")).error() == std::errc::no_space_on_device);
    queue.submit(write_of(queue, file, "cancelled", 0));
    queue.resume();
    queue.submit(write_of(queue, file, "runs", 0));
    queue.submit(write_of(queue, full, "fails"));
    queue.submit(write_of(queue, file, "cancelled", 0));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 4);
    CHECK(all[0].error == std::errc::operation_canceled);
    CHECK_FALSE(all[1].error);
    CHECK(all[2].error == std::errc::no_space_on_device);
    CHECK(all[3].error == std::errc::operation_canceled);
    CHECK(contents(file) == "runs");
  });
}

TEST_CASE("resume without a failure changes nothing", "[hold]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue(holding);
    queue.resume();
    queue.submit(write_of(queue, file, "a"));
    queue.resume();
    queue.submit(write_of(queue, file, "b"));
    CHECK(drain(queue).size() == 2);
    CHECK(contents(file) == "ab");
  });
}

TEST_CASE("with hold, a failed read holds too, the end of a file does not", "[hold]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor write_only = reopen(file, O_WRONLY);
    auto queue = world.queue(holding);
    queue.submit(read_of(queue, file, 10, 0));
    queue.submit(write_of(queue, file, "a", 0));
    queue.submit(read_of(queue, write_only, 10, 0));
    queue.submit(write_of(queue, file, "b", 0));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 4);
    CHECK_FALSE(all[0].error);
    CHECK_FALSE(all[1].error);
    CHECK(all[2].error == std::errc::bad_file_descriptor);
    CHECK(all[3].error == std::errc::operation_canceled);
    CHECK(contents(file) == "a");
  });
}

TEST_CASE("a cancelled write-back counts as a failed one until it is collected", "[hold][write_back]") {
  on_every_executor_in_strict_order([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    auto queue = world.queue(holding);
    queue.submit(write_of(queue, full, "fails"));
    queue.submit(write_back_of(queue, file, "kept", 3));
    try {
      queue.sync();
      FAIL("sync did not throw");
    } catch (const asioq::write_back_error& error) {
      CHECK(error.code() == std::errc::operation_canceled);
      CHECK(error.fd() == file.get());
      CHECK(error.offset() == 3);
    }
    asioq::asio_request next = write_back_of(queue, file, "next", 0);
    CHECK_THROWS_AS(queue.submit(std::move(next)), asioq::write_back_error);
    queue.resume();
    CHECK_THROWS_AS(queue.submit(std::move(next)), asioq::write_back_error);
    CHECK(drain(queue).size() == 2);
    queue.submit(std::move(next));
    queue.sync();
    CHECK(contents(file) == "next");
  });
}

TEST_CASE("with proceed, what is behind a failure runs as if nothing had happened", "[hold]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(write_of(queue, full, "fails"));
    queue.submit(write_of(queue, file, "runs", 0));
    CHECK(drain(queue).size() == 2);
    CHECK(contents(file) == "runs");
  });
}

TEST_CASE("held write-backs give their room back", "[hold][throttle]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    asioq::queue_options options = holding;
    options.max_writebacks = 2;
    auto queue = world.queue(options);
    CHECK(run(queue, write_of(queue, full, "fails")).error());
    for (int i = 0; i < 10; ++i) CHECK(run(queue, write_back_of(queue, file, "x")).error());
    queue.resume();
    for (int i = 0; i < 10; ++i) queue.submit(write_back_of(queue, file, "x"));
    queue.sync();
    CHECK(contents(file) == std::string(10, 'x'));
  });
}
