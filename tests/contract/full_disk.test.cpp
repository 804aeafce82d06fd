// The ends of programs whose disk is full: what they are told, and when they are ended.
#include "catch.hpp"
#include "child.hpp"
#include "counting_allocator.hpp"
#include "every_executor.hpp"
#include "faults.hpp"
#include "mounts.hpp"
#include "requests.hpp"

#include <iostream>

using namespace asioq_test;

namespace {

constexpr int caught = 42;

/// The program of README, with other numbers; returns what its main() would.
int readme_program(int fd, std::uint64_t size, const asioq::queue_options& options) {
  try {
    asioq::asio_queue queue{options};
    for (std::uint64_t offset = 0; offset < size; offset += options.buffer_size) {
      asioq::asio_request block = queue.get();
      std::ranges::fill(block.buffer(), std::byte{'x'});
      block.prepare_write_back(fd, block.buffer().size(), offset);
      queue.submit(std::move(block));
    }
    asioq::asio_request end = queue.get();
    end.prepare_fsync(fd);
    queue.submit(std::move(end));
    while (const asioq::asio_request done = queue.wait())
      if (done.error()) throw std::system_error(done.error());
    return 0;
  } catch (const std::system_error& error) {
    return error.code() == std::errc::no_space_on_device || error.code() == std::errc::file_too_large ? caught : 1;
  }
}

/// The last program of the tutorial: it copies, and collects as it goes.
int tutorial_program(int in, int fd, const asioq::queue_options& options) {
  try {
    asioq::asio_queue queue{options};
    std::uint64_t next = 0;
    const auto read_more = [&] {
      asioq::asio_request request = queue.get();
      request.prepare_read(in, options.buffer_size, next);
      queue.submit(std::move(request));
      next += options.buffer_size;
    };
    read_more();
    while (asioq::asio_request done = queue.wait()) {
      if (done.error()) throw std::system_error(done.error());
      if (done.bytes_transferred() == 0) continue;
      done.prepare_write_back(fd, done.bytes_transferred(), done.offset());
      queue.submit(std::move(done));
      read_more();
    }
    asioq::asio_request end = queue.get();
    end.prepare_fsync(fd);
    queue.submit(std::move(end));
    while (const asioq::asio_request done = queue.wait())
      if (done.error()) throw std::system_error(done.error());
    return 0;
  } catch (const std::system_error& error) {
    return error.code() == std::errc::no_space_on_device || error.code() == std::errc::file_too_large ? caught : 1;
  }
}

}  // namespace

TEST_CASE("a program that catches exceptions on a full disk is told, and not ended", "[full_disk][lost]") {
  const descriptor in = temp_file_with(pattern(1 << 18));
  const descriptor full = open_path("/dev/full", O_RDWR);
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    const asioq::queue_options options{.buffer_size = 4096, .max_writebacks = 8, .order = order};
    for (int i = 0; i < 15; ++i) {
      const std::optional<descriptor> small = file_on_small_tmpfs(65536);
      const descriptor limited = temp_file();
      if (!small) WARN(no_mounts);
      const auto check = [&](auto program) {
        const ending end = run_in_child(program);
        CHECK(end.exit_code == caught);
        CHECK(end.signal == 0);
      };
      const int fd = i % 3 == 0 || (i % 3 == 1 && !small) ? full.get() : i % 3 == 1 ? small->get() : limited.get();
      check([&] {
        std::optional<file_size_limit> limit;
        if (i % 3 == 2) limit.emplace(65536);
        return readme_program(fd, 1 << 19, options);
      });
      check([&] {
        std::optional<file_size_limit> limit;
        if (i % 3 == 2) limit.emplace(65536);
        return tutorial_program(in.get(), fd, options);
      });
    }
  }
}

TEST_CASE("after resume() a failure that was not reported ends the program again", "[full_disk][lost]") {
  const descriptor full = open_path("/dev/full", O_RDWR);
  for (const bool resumes : {false, true}) {
    const ending end = run_in_child([&] {
      asioq::asio_queue queue{{.buffer_size = 512}};
      queue.submit(write_of(queue, full, "x"));
      if (!queue.wait().error()) return 1;
      if (resumes) queue.resume();
      queue.submit(write_back_of(queue, full, "y"));
      return 0;
    });
    CHECK(end.signal == (resumes ? SIGABRT : 0));
    CHECK(end.exit_code == (resumes ? -1 : 0));
    CHECK(end.errors.find("asioq") != std::string::npos);  // the message comes in any case
  }
}

TEST_CASE("an exception from elsewhere is not replaced by the end of the program", "[full_disk][lost]") {
  const descriptor full = open_path("/dev/full", O_RDWR);
  const ending end = run_in_child([&] {
    try {
      asioq::asio_queue queue{{.buffer_size = 512}};
      queue.submit(write_back_of(queue, full, "x"));
      throw std::runtime_error("elsewhere");
    } catch (const std::runtime_error&) {
      return caught;
    }
  });
  CHECK(end.exit_code == caught);
  // A queue that is made and lost during the unwinding of another exception is silent all the same.
  const ending silent = run_in_child([&] {
    struct cleaner {
      int fd;
      ~cleaner() {
        asioq::asio_queue queue{{.buffer_size = 512}};
        asioq::asio_request request = queue.get();
        request.prepare_write(fd, 10);
        queue.submit(std::move(request));
      }
    };
    try {
      const cleaner last{full.get()};
      throw std::runtime_error("elsewhere");
    } catch (const std::runtime_error&) {
    }
    return 0;
  });
  CHECK(silent.signal == SIGABRT);
}

TEST_CASE("on_lost_failure is called for what comes after the owner was told, too", "[full_disk][lost]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    std::vector<std::uint64_t> lost;
    {
      auto queue = world.queue({.buffer_size = 512, .max_writebacks = 4, .on_lost_failure = [&](auto& request) {
                                  lost.push_back(request.sequence());
                                }});
      queue.submit(write_of(queue, full, "x"));
      CHECK(queue.wait().error());
      queue.submit(write_of(queue, full, "y"));
      queue.submit(write_back_of(queue, full, "z"));
    }
    CHECK(lost == std::vector<std::uint64_t>{1, 2});
  });
}

TEST_CASE("on_lost_failure that submits again is refused, and nothing leaks", "[full_disk][lost]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    memory_log log;
    int refused = 0;
    int others = 0;
    std::vector<std::uint64_t> lost;
    {
      std::function<void(asioq::asio_request&)> rescue;
      auto queue = world.queue({.buffer_size = 512, .on_lost_failure = [&](asioq::asio_request& r) { rescue(r); }},
                               counting_allocator<std::byte>(log));
      rescue = [&](asioq::asio_request& request) {
        lost.push_back(request.sequence());
        request.prepare_write(file.get(), 1, 0);
        try {
          queue.submit(std::move(request));
        } catch (const std::system_error& error) {
          refused += error.code() == std::errc::operation_not_permitted ? 1 : 0;
        }
        others += request ? 0 : 1;  // the request stays here
        const asioq::asio_request fresh = queue.get();
        others += fresh ? 0 : 1;
        others += static_cast<int>(queue.running_requests());
        if (lost.size() == 1) {
          const asioq::asio_request next = queue.wait();  // takes the next one, which is not lost then
          others += next && next.sequence() == 1 ? 0 : 1;
        }
      };
      for (int i = 0; i < 3; ++i) queue.submit(write_of(queue, full, "x"));
      queue.submit(write_back_of(queue, full, "y"));
    }
    CHECK(lost == std::vector<std::uint64_t>{0, 2, 3});
    CHECK(refused == 3);
    CHECK(others == 0);
    CHECK(log.live == 0);
    CHECK(contents(file).empty());
  });
}
