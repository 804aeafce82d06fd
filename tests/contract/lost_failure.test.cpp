#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

using namespace asioq_test;

namespace {

struct loss {
  asioq::asio_op op;
  std::error_code error;
  int fd;
  std::string text;
};

/// Options that note what is lost.
asioq::queue_options noting(std::vector<loss>& losses) {
  asioq::queue_options options{.buffer_size = 512};
  options.on_lost_failure = [&losses](asioq::asio_request& request) {
    losses.push_back({request.op(), request.error(), request.fd(), text_of(request.buffer().first(request.length()))});
  };
  return options;
}

}  // namespace

TEST_CASE("the destructor reports each failed write that was not reported", "[lost]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const pipe_ends pipe;
    const descriptor file = temp_file();
    std::vector<loss> losses;
    {
      auto queue = world.queue(noting(losses));
      queue.submit(write_of(queue, full, "one"));
      queue.submit(write_of(queue, file, "good", 0));
      queue.submit(fsync_of(queue, pipe.read_end));
      asioq::asio_request request = queue.get();
      request.prepare_fdatasync(pipe.read_end.get());
      queue.submit(std::move(request));
      queue.submit(write_back_of(queue, full, "two"));
    }
    REQUIRE(losses.size() == 4);
    CHECK(losses[0].op == asioq::asio_op::write);
    CHECK(losses[0].text == "one");
    CHECK(losses[0].error == std::errc::no_space_on_device);
    CHECK(losses[0].fd == full.get());
    CHECK(losses[1].op == asioq::asio_op::fsync);
    CHECK(losses[1].error == std::errc::invalid_argument);
    CHECK(losses[2].op == asioq::asio_op::fdatasync);
    CHECK(losses[3].op == asioq::asio_op::write_back);
    CHECK(losses[3].text == "two");
  });
}

TEST_CASE("a failed read, a success and the end of a file are no losses", "[lost]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor write_only = reopen(file, O_WRONLY);
    std::vector<loss> losses;
    {
      auto queue = world.queue(noting(losses));
      queue.submit(read_of(queue, write_only, 5, 0));
      queue.submit(read_of(queue, file, 5, 0));
      queue.submit(write_of(queue, file, "x", 0));
      queue.submit(write_back_of(queue, file, "y", 0));
      queue.submit(fsync_of(queue, file));
    }
    CHECK(losses.empty());
  });
}

TEST_CASE("a failure that a wait returned is not told again", "[lost]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    std::vector<loss> losses;
    {
      auto queue = world.queue(noting(losses));
      CHECK(run(queue, write_of(queue, full, "one")).error());
      CHECK(run(queue, write_back_of(queue, full, "two")).error());
    }
    CHECK(losses.empty());
  });
}

TEST_CASE("a failed write-back that sync has thrown is not told again", "[lost]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    std::vector<loss> losses;
    {
      auto queue = world.queue(noting(losses));
      queue.submit(write_back_of(queue, full, "one"));
      CHECK_THROWS_AS(queue.sync(), asioq::write_back_error);
    }
    CHECK(losses.empty());
  });
}

TEST_CASE("sync does not tell of a failed plain write, so the destructor does", "[lost]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    std::vector<loss> losses;
    {
      auto queue = world.queue(noting(losses));
      queue.submit(write_of(queue, full, "one"));
      queue.sync();
    }
    CHECK(losses.size() == 1);
  });
}

TEST_CASE("a failed write-back that submit has thrown is not told again", "[lost]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    std::vector<loss> losses;
    {
      asioq::queue_options options = noting(losses);
      options.max_writebacks = 1;
      auto queue = world.queue(options);
      queue.submit(write_back_of(queue, full, "one"));
      asioq::asio_request next = write_back_of(queue, full, "two");
      CHECK_THROWS_AS(queue.submit(std::move(next)), asioq::write_back_error);
    }
    CHECK(losses.empty());
  });
}

TEST_CASE("cancelled writes are lost too if they are not collected", "[lost][hold]") {
  on_every_executor_in_strict_order([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    std::vector<loss> losses;
    {
      asioq::queue_options options = noting(losses);
      options.on_failure = asioq::failure_policy::hold;
      auto queue = world.queue(options);
      queue.submit(write_of(queue, full, "one"));
      queue.submit(write_of(queue, file, "two"));
      queue.submit(write_back_of(queue, file, "three"));
      queue.submit(read_of(queue, file, 3, 0));
    }
    REQUIRE(losses.size() == 3);
    CHECK(losses[1].error == std::errc::operation_canceled);
    CHECK(losses[1].text == "two");
    CHECK(losses[2].text == "three");
    CHECK(contents(file).empty());
  });
}

TEST_CASE("the callback may keep the request, and it outlives the queue", "[lost][handle]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    std::vector<asioq::asio_request> kept;
    {
      asioq::queue_options options{.buffer_size = 512};
      options.on_lost_failure = [&kept](asioq::asio_request& request) { kept.push_back(std::move(request)); };
      auto queue = world.queue(options);
      queue.submit(write_of(queue, full, "one"));
      queue.submit(write_back_of(queue, full, "two", 9));
    }
    REQUIRE(kept.size() == 2);
    CHECK(text_of(kept[0].buffer().first(kept[0].length())) == "one");
    CHECK(text_of(kept[1].buffer().first(kept[1].length())) == "two");
    CHECK(kept[1].offset() == 9);
    CHECK(kept[1].error() == std::errc::no_space_on_device);
  });
}

TEST_CASE("the destructor waits for what runs", "[lifetime]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    std::string expected;
    {
      auto queue = world.queue({.buffer_size = 4096, .max_writebacks = 100});
      for (unsigned i = 0; i < 100; ++i) {
        const std::string text = pattern(4096, i);
        expected += text;
        queue.submit(write_back_of(queue, file, text));
      }
      queue.submit(write_of(queue, file, "last"));
    }
    CHECK((contents(file) == expected + "last"));
  });
}
