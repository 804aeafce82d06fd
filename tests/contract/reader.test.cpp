#include <asioq/asioq.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "coroutines.hpp"
#include "every_executor.hpp"
#include "mounts.hpp"
#include "receivers.hpp"
#include "requests.hpp"

using namespace asioq_test;
using asioq::direct_io;
using asioq::file;
using asioq::reader;
using asioq::reader_options;

namespace {

/// The file of a descriptor, opened again.
file file_of(const descriptor& its, direct_io mode = direct_io::preferred) {
  return file::open_for_reading("/proc/self/fd/" + std::to_string(its.get()), mode);
}

std::span<std::byte> bytes_of(std::string& text) { return std::as_writable_bytes(std::span(text)); }

/// What is left, by next().
template <class Reader>
std::string rest_of(Reader& source) {
  std::string all;
  for (;;) {
    const std::uint64_t before = source.position();
    const std::string block = text_of(source.next());
    CHECK(source.position() == before + block.size());
    if (block.empty()) return all;
    all += block;
  }
}

/// A file in the temporary folder, one where direct reads must be aligned, and one in memory.
template <class Body>
void on_every_file(std::string_view text, Body body) {
  const descriptor plain = temp_file_with(text);
  body(file_of(plain, direct_io::off));
  body(file_of(plain));
  const descriptor in_memory = temp_file("/dev/shm");
  set_contents(in_memory, text);
  body(file_of(in_memory));
}

}  // namespace

namespace {

/// A simulated disk with one file.
struct disk_with_file {
  explicit disk_with_file(std::string_view text, asioq::testing::disk_options options = {})
      : disk(options), fd(disk.open("data")) {
    asioq::basic_asio_queue<asioq::testing::simulated_disk::executor_type> queue{disk.executor(),
                                                                                 {.buffer_size = text.size() + 1}};
    asioq::asio_request request = queue.get();
    set_text(request, text);
    request.prepare_write(fd, text.size(), 0);
    queue.submit(std::move(request));
    REQUIRE_FALSE(queue.wait().error());
  }

  [[nodiscard]] auto queue(asioq::queue_options options) {
    return asioq::basic_asio_queue<asioq::testing::simulated_disk::executor_type>{disk.executor(), std::move(options)};
  }

  asioq::testing::simulated_disk disk;
  int fd;
};

}  // namespace

TEST_CASE("a reader reads what is between an offset and an end, wherever these are", "[reader]") {
  on_every_executor([](const auto& world) {
    constexpr std::size_t block = 4096;
    const std::string text = pattern(3 * block + 700);
    on_every_file(text, [&](const file& its) {
      auto queue = world.queue({.buffer_size = block});
      const std::vector<std::size_t> borders = {0,
                                                1,
                                                511,
                                                512,
                                                513,
                                                block - 1,
                                                block,
                                                block + 1,
                                                2 * block - 1,
                                                2 * block,
                                                3 * block,
                                                text.size() - 1,
                                                text.size(),
                                                text.size() + 1,
                                                text.size() + block};
      std::size_t turn = 0;
      for (const std::size_t offset : borders) {
        for (const std::size_t end : borders) {
          if (end < offset) continue;
          const std::string expected = text.substr(std::min(offset, text.size()), end - offset);
          reader source{queue, its, {.offset = offset, .length = end - offset, .max_ahead = turn % 3 * block}};
          std::string got;
          switch (turn++ % 4) {
            case 0:
              got = rest_of(source);
              break;
            case 1:
              got.resize(expected.size() + 10);
              got.resize(source.read(bytes_of(got)));
              break;
            case 2:
              while (const asioq::asio_request taken = source.take()) {
                if (taken.offset() != offset + got.size()) FAIL("at another offset");
                got += text_of(taken.data());
              }
              break;
            default:
              for (std::string some(1000, '\0');;) {
                const std::string seen = text_of(source.peek(some.size()));
                const std::size_t count = source.read(bytes_of(some));
                if (seen != some.substr(0, count)) FAIL("another part was peeked at");
                if (count == 0) break;
                got += some.substr(0, count);
              }
          }
          INFO("from " << offset << " to " << end << ", direct: " << its.is_direct());
          if (got != expected) FAIL("read " << got.size() << " bytes instead of " << expected.size());
          if (!source.next().empty() || source.read(bytes_of(got)) != 0 || source.take()) FAIL("beyond the end");
          if (source.position() != offset + expected.size()) FAIL("not at the end");
        }
      }
      while (queue.run_one() != 0) {
      }
      CHECK(queue.allocated_requests() == 0);
    });
  });
}

TEST_CASE("a reader of a direct descriptor keeps to its alignment", "[reader]") {
  const std::optional<descriptor> direct = direct_file();
  if (!direct) {
    WARN(no_direct_io);
    return;
  }
  const std::string text = pattern(20'000);
  set_contents(reopen(*direct, O_RDWR), text);
  on_every_executor([&](const auto& world) {
    auto queue = world.queue({.buffer_size = 8192});
    reader source{queue, direct->get(), {.offset = 4999, .length = 10'001}};
    CHECK((rest_of(source) == text.substr(4999, 10'001)));
    source.seek(1);
    CHECK((rest_of(source) == text.substr(1, 14'999)));
  });
}

namespace {

/// A simulated disk whose transfers have to be aligned, as its `describe` says.
struct aligned_disk {
  static constexpr std::size_t unit = 512;

  asioq::testing::simulated_disk::executor_type disk;
  std::uint64_t* wrong;

  void start(asioq::io_operation& operation) const {
    const std::uint64_t end = operation.offset() + operation.length();
    // The queue asks again where the file has ended.
    const bool is_again = operation.offset() == disk.describe(operation.fd()).size;
    if (end % unit != 0 || (operation.offset() % unit != 0 && !is_again)) ++*wrong;
    disk.start(operation);
  }
  void poll() const { disk.poll(); }
  void wait_until(std::chrono::steady_clock::time_point deadline) const { disk.wait_until(deadline); }
  [[nodiscard]] asioq::file_facts describe(int fd) const noexcept {
    asioq::file_facts facts = disk.describe(fd);
    facts.alignment = unit;
    return facts;
  }
  bool operator==(const aligned_disk&) const = default;
};

}  // namespace

TEST_CASE("a reader keeps to the alignment that an engine describes", "[reader]") {
  in_every_order([](asioq::execution_order order) {
    const std::string text = pattern(5000);
    disk_with_file its(text, {.seed = run_seed(), .short_transfers = 0});
    std::uint64_t wrong = 0;
    asioq::basic_asio_queue<aligned_disk> queue{aligned_disk{.disk = its.disk.executor(), .wrong = &wrong},
                                                {.buffer_size = 1600, .order = order}};
    for (const std::size_t offset : {0U, 1U, 511U, 512U, 1535U, 1537U, 4999U}) {
      reader source{queue, its.fd, {.offset = offset, .length = 3000}};
      CHECK((rest_of(source) == text.substr(offset, 3000)));
      source.seek(offset / 2);
      CHECK((text_of(source.peek(1600)) == text.substr(offset / 2, std::min(1600UL, offset - offset / 2 + 3000))));
    }
    CHECK(wrong == 0);
    asioq::basic_asio_queue<aligned_disk> narrow{aligned_disk{.disk = its.disk.executor(), .wrong = &wrong},
                                                 {.buffer_size = 511}};
    CHECK_THROWS_AS((reader{narrow, its.fd}), std::invalid_argument);
  });
}

TEST_CASE("a reader of a descriptor does not move its position", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(3000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 512});
    reader source{queue, its.get()};
    CHECK((rest_of(source) == text));
    CHECK(::lseek(its.get(), 0, SEEK_CUR) == 0);
  });
}

namespace {

/// Anything in any order, against the text that is in the file.
template <class World>
void run_random_program(const World& world, std::mt19937_64& random, const file& its, const std::string& text) {
  const std::size_t unit = std::max<std::size_t>(its.alignment(), 1);
  const std::size_t buffer_size =
      unit * (1 + below(random, 3)) + (unit == 1 ? 100 + below(random, 1000) : below(random, 2));
  const std::size_t most = below(random, 3) == 0 ? 2 + below(random, 6) : 0;
  auto queue = world.queue({.buffer_size = buffer_size, .max_requests = most});
  {
    const std::size_t first = below(random, text.size() + 100);
    const std::size_t length = below(random, 2) == 0 ? below(random, text.size()) : std::string::npos;
    const std::size_t end = length == std::string::npos ? text.size() : std::min(text.size(), first + length);
    reader_options options{.offset = first, .max_ahead = below(random, 8) * buffer_size};
    if (length != std::string::npos) options.length = length;
    reader source{queue, its, options};
    std::size_t at = first;
    std::string some;
    const auto left = [&] { return text.substr(std::min(at, end), end - std::min(at, end)); };
    const auto check = [&](const std::string& got, const char* what) {
      if (!left().starts_with(got)) FAIL(what << " gave other bytes at " << at);
    };
    for (int step = 0; step < 60; ++step) {
      switch (below(random, 8)) {
        case 0:
        case 1: {
          const std::string got = text_of(source.next());
          check(got, "next");
          if (got.empty() != left().empty()) FAIL("the end at " << at);
          at += got.size();
          break;
        }
        case 2: {
          some.assign(below(random, 4 * buffer_size), '\0');
          const std::size_t got = source.read(bytes_of(some));
          if (got != std::min(some.size(), left().size())) FAIL("read gave " << got << " at " << at);
          some.resize(got);
          check(some, "read");
          at += got;
          break;
        }
        case 3:
        case 4: {
          const std::size_t wanted = below(random, buffer_size + 1);
          const std::string got = text_of(source.peek(wanted));
          if (got.size() != std::min(wanted, left().size())) FAIL("peek gave " << got.size() << " at " << at);
          check(got, "peek");
          break;
        }
        case 5: {
          const asioq::asio_request taken = source.take();
          if (!taken != left().empty()) FAIL("the end at " << at);
          if (!taken) break;
          if (taken.offset() != at || taken.length() != taken.data().size()) FAIL("another place than " << at);
          check(text_of(taken.data()), "take");
          at += taken.data().size();
          break;
        }
        case 6:
          at = below(random, 2) == 0 ? below(random, text.size() + 2 * buffer_size)
                                     : std::min(text.size(), at + below(random, 2 * buffer_size));
          source.seek(at);
          break;
        default:
          static_cast<void>(queue.poll());
      }
      if (source.position() != at) FAIL("at " << source.position() << " instead of " << at);
    }
  }
  while (queue.run_one() != 0) {
  }
  if (queue.allocated_requests() != 0) FAIL("requests were leaked");
}

}  // namespace

TEST_CASE("random programs on a reader find what is in the file", "[reader]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(110);
    const std::string text = pattern(3 * 8192 + 1234);
    on_every_file(text, [&](const file& its) {
      for (int i = 0; i < 8; ++i) run_random_program(world, random, its, text);
    });
  });
}

TEST_CASE("at the end a reader tries again, and sees what a file has grown by", "[reader]") {
  on_every_executor([](const auto& world) {
    for (const direct_io mode : {direct_io::preferred, direct_io::off}) {
      const descriptor writer = temp_file();
      const file its = file_of(writer, mode);
      auto queue = world.queue({.buffer_size = 4096});
      reader source{queue, its};
      std::string text;
      CHECK(source.next().empty());
      for (const std::size_t count : {5U, 4091U, 1U, 4095U, 10'000U, 3U, 0U, 40'000U}) {
        const std::string more = pattern(count, static_cast<unsigned>(count));
        REQUIRE(::pwrite(writer.get(), more.data(), count, static_cast<off_t>(text.size())) ==
                static_cast<ssize_t>(count));
        text += more;
        CHECK((rest_of(source) == more));
        CHECK(source.position() == text.size());
        CHECK(source.next().empty());
      }
      // Also without the empty block in between.
      source.seek(0);
      std::string all(text.size(), '\0');
      REQUIRE(source.read(bytes_of(all)) == text.size());
      CHECK((all == text));
      REQUIRE(::pwrite(writer.get(), "more", 4, static_cast<off_t>(text.size())) == 4);
      CHECK(text_of(source.next()) == "more");
      CHECK(source.next().empty());
    }
  });
}

TEST_CASE("a reader sees no gap where a file grows behind a block that was read ahead", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(20'000);
    const descriptor writer = temp_file_with(text.substr(0, 5000));
    auto queue = world.queue({.buffer_size = 1024});
    reader source{queue, writer.get(), {.max_ahead = 8 * 1024}};
    std::string got = text_of(source.next());
    got += text_of(source.next());
    while (queue.run_one() != 0) {
    }
    REQUIRE(::pwrite(writer.get(), text.data() + 5000, 15'000, 5000) == 15'000);
    got += rest_of(source);
    CHECK((got == text));
  });
}

TEST_CASE("a reader of a file that shrinks ends where the file then ends", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(20'000);
    const descriptor writer = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 1024});
    reader source{queue, writer.get(), {.max_ahead = 0}};
    std::string got = text_of(source.next());
    REQUIRE(::ftruncate(writer.get(), 3000) == 0);
    got += rest_of(source);
    CHECK((got == text.substr(0, 3000)));
    REQUIRE(::ftruncate(writer.get(), 100) == 0);
    CHECK(source.next().empty());
    CHECK(source.position() == 3000);
    source.seek(50);
    CHECK((text_of(source.next()) == text.substr(50, 50)));
  });
}

TEST_CASE("a reader sees what was submitted before it on its queue", "[reader]") {
  on_every_executor([](const auto& world) {
    const descriptor its = temp_file_with("old text");
    auto queue = world.queue({.buffer_size = 512});
    reader source{queue, its.get()};
    queue.submit(write_back_of(queue, its, "new text", 0));
    CHECK(text_of(source.next()) == "new text");
    queue.submit(write_back_of(queue, its, " and more", 8));
    CHECK(text_of(source.next()) == " and more");
    queue.submit(write_back_of(queue, its, "newest", 0));
    source.seek(0);
    CHECK(text_of(source.next()) == "newestxt and more");
  });
}

TEST_CASE("a reader of a pipe hands out what comes, and reads nothing that nobody has asked for", "[reader]") {
  on_every_executor([](const auto& world) {
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    reader source{queue, pipe.read_end.get()};
    pipe.put("first");
    CHECK(text_of(source.next()) == "first");
    CHECK(source.position() == 5);
    // The queue is not held up by a read of the empty pipe.
    queue.submit(write_of(queue, pipe.write_end, "second"));
    CHECK_FALSE(queue.wait().error());
    CHECK(text_of(source.peek(3)) == "sec");
    queue.submit(write_of(queue, pipe.write_end, "third"));
    CHECK_FALSE(queue.wait().error());
    CHECK(text_of(source.peek(8)) == "secondth");
    CHECK(text_of(source.peek(2)) == "se");
    std::string some(7, '\0');
    CHECK(source.read(bytes_of(some)) == 7);
    CHECK(some == "secondt");
    CHECK_THROWS_AS(source.seek(0), std::system_error);
    CHECK_NOTHROW(source.seek(12));
    const asioq::asio_request taken = source.take();
    CHECK(text_of(taken.data()) == "h");
    CHECK(taken.offset() == 12);
    CHECK(text_of(source.next()) == "ird");
    const std::string rest = pattern(3000);
    pipe.put(rest);
    const_cast<pipe_ends&>(pipe).write_end.reset();
    CHECK((text_of(source.peek(512)) == rest.substr(0, 512)));
    CHECK((rest_of(source) == rest));
    CHECK(source.next().empty());
    CHECK(source.peek(5).empty());
    CHECK_THROWS_AS((reader{queue, pipe.read_end.get(), {.offset = 1}}), std::system_error);
  });
}

TEST_CASE("a reader of a socket ends with it, or after so many bytes", "[reader]") {
  on_every_executor([](const auto& world) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const descriptor near{ends[0]};
    descriptor far{ends[1]};
    auto queue = world.queue({.buffer_size = 512});
    REQUIRE(::send(far.get(), "0123456789", 10, 0) == 10);
    {
      reader source{queue, near.get(), {.length = 4}};
      CHECK(rest_of(source) == "0123");
      CHECK(source.next().empty());
    }
    far.reset();
    reader source{queue, near.get()};
    CHECK(rest_of(source) == "456789");
  });
}

TEST_CASE("peek gives bytes in one piece across the borders of blocks", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(2000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 128});
    for (const std::size_t max_ahead : {0U, 512U}) {
      reader source{queue, its.get(), {.max_ahead = max_ahead}};
      for (std::size_t at = 0; at < text.size(); at += 61) {
        source.seek(at);
        CHECK(text_of(source.peek(128)) == text.substr(at, 128));
        CHECK(text_of(source.peek(7)) == text.substr(at, 7));
        CHECK(source.position() == at);
      }
      source.seek(100);
      CHECK(source.peek(0).empty());
      CHECK(text_of(source.peek(128)) == text.substr(100, 128));
      CHECK((rest_of(source) == text.substr(100)));
      CHECK_THROWS_AS(source.peek(129), std::invalid_argument);
    }
  });
}

TEST_CASE("a block that is taken stays with its taker, and can be written from where it is", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(5000);
    const descriptor from = temp_file_with(text);
    const descriptor to = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    {
      reader source{queue, from.get(), {.offset = 100}};
      std::vector<asioq::asio_request> all;
      while (asioq::asio_request taken = source.take()) all.push_back(std::move(taken));
      CHECK(source.position() == text.size());
      for (asioq::asio_request& one : all) {
        const std::span<std::byte> data = one.data();
        const std::uint64_t offset = one.offset();
        const auto first = static_cast<std::size_t>(data.data() - one.buffer().data());
        one.prepare_write_back(to.get(), data.size(), offset - 100);
        one.use_from(first);
        queue.submit(std::move(one));
      }
    }
    queue.sync();
    CHECK((contents(to) == text.substr(100)));
    CHECK(queue.allocated_requests() == 0);
  });
}

namespace {

/// Begins what it was given when it is polled, as a ring does, and completes it after some more polls.
class keeping_engine : public io_engine_base {
 public:
  explicit keeping_engine(std::size_t polls = 1) : polls_(polls) {}

  void start(asioq::io_operation& operation) override {
    kept_.push_back(&operation);
    ++started_;
  }
  void poll() override { wait_until({}); }
  void wait_until(std::chrono::steady_clock::time_point) override {
    for (asioq::io_operation* const one : std::exchange(kept_, {})) begun_.emplace_back(one, time_ + polls_);
    ++time_;
    std::vector<asioq::io_operation*> done;
    while (!begun_.empty() && begun_.front().second < time_) {
      done.push_back(begun_.front().first);
      begun_.pop_front();
    }
    for (asioq::io_operation* const one : done) one->complete(asioq::perform(*one));
  }

  /// How many it has not begun.
  [[nodiscard]] std::size_t kept() const { return kept_.size(); }
  /// How many it ever had.
  [[nodiscard]] std::size_t started() const { return started_; }

 private:
  std::size_t polls_;  // constant
  std::size_t time_ = 0;
  std::size_t started_ = 0;
  std::vector<asioq::io_operation*> kept_;
  std::deque<std::pair<asioq::io_operation*, std::size_t>> begun_;  // and when it is done
};

/// The error that a function throws.
template <class Function>
asioq::read_error error_of(Function function) {
  try {
    function();
  } catch (const asioq::read_error& error) {
    return error;
  }
  throw std::logic_error("nothing was thrown");
}

}  // namespace

TEST_CASE("a read error comes at its offset, and behind it the reader goes on", "[reader]") {
  in_every_order([](asioq::execution_order order) {
    const std::string text = pattern(10'000);
    disk_with_file its(text, {.seed = run_seed()});
    its.disk.add({.file = "data", .offset = 2500, .length = 10});
    its.disk.add({.file = "data", .offset = 9990, .length = 1});
    for (const std::size_t max_ahead : {0U, 4096U}) {
      auto queue = its.queue({.buffer_size = 1024, .order = order});
      SECTION("by next") {
        reader source{queue, its.fd, {.max_ahead = max_ahead}};
        std::string got;
        while (source.position() < 2500) got += text_of(source.next());
        CHECK((got == text.substr(0, 2500)));
        const asioq::read_error error = error_of([&] { static_cast<void>(source.next()); });
        CHECK(error.code() == std::errc::io_error);
        CHECK(error.offset() == 2500);
        CHECK(error.length() == 3072 - 2500);
        CHECK(std::string(error.what()).find("572 bytes at offset 2500 of descriptor " + std::to_string(its.fd)) !=
              std::string::npos);
        CHECK(source.position() == 3072);
        got.clear();
        while (source.position() < 9990) got += text_of(source.next());
        CHECK((got == text.substr(3072, 9990 - 3072)));
        const asioq::read_error last = error_of([&] { static_cast<void>(source.next()); });
        CHECK(last.offset() == 9990);
        CHECK(last.length() == 10);  // the file is no longer
        CHECK(source.next().empty());
        CHECK(source.position() == 10'000);
        source.seek(2510);  // what was left out can be read in smaller pieces
        CHECK((text_of(source.next()) == text.substr(2510, 1024)));
      }
      SECTION("by read") {
        reader source{queue, its.fd, {.offset = 2000, .max_ahead = max_ahead}};
        std::string some(1000, '\0');
        const asioq::read_error error = error_of([&] { source.read(bytes_of(some)); });
        CHECK(error.offset() == 2500);
        CHECK((some.substr(0, 500) == text.substr(2000, 500)));
        CHECK(source.position() == error.offset() + error.length());
      }
      SECTION("by take") {
        reader source{queue, its.fd, {.offset = 2100, .max_ahead = max_ahead}};
        CHECK((text_of(source.take().data()) == text.substr(2100, 400)));
        CHECK(error_of([&] { static_cast<void>(source.take()); }).offset() == 2500);
        CHECK(source.take().offset() == 2100 + 1024);
      }
      SECTION("by peek, which goes nowhere") {
        reader source{queue, its.fd, {.offset = 2490, .max_ahead = max_ahead}};
        CHECK((text_of(source.peek(100)) == text.substr(2490, 10)));
        CHECK((text_of(source.next()) == text.substr(2490, 10)));
        for (int i = 0; i < 3; ++i) CHECK(error_of([&] { static_cast<void>(source.peek(1)); }).offset() == 2500);
        CHECK(source.position() == 2500);
        CHECK(error_of([&] { static_cast<void>(source.next()); }).offset() == 2500);
        source.seek(2490 + 1024 - 20);
        CHECK((text_of(source.peek(100)) == text.substr(2490 + 1024 - 20, 100)));
      }
    }
  });
}

TEST_CASE("a reader that is sought past a bad place reads what is behind it", "[reader]") {
  in_every_order([](asioq::execution_order order) {
    const std::string text = pattern(10'000);
    disk_with_file its(text, {.seed = run_seed()});
    its.disk.add({.file = "data", .offset = 1000, .length = 10});
    for (const std::size_t max_ahead : {0U, 4096U}) {
      auto queue = its.queue({.buffer_size = 2048, .order = order});
      reader source{queue, its.fd, {.max_ahead = max_ahead}};
      SECTION("when it has handed out what is before it") { CHECK(source.next().size() == 1000); }
      SECTION("when peek has met it") {
        source.seek(1000);
        CHECK(error_of([&] { static_cast<void>(source.peek(1)); }).offset() == 1000);
      }
      SECTION("while the block is being read") {
        auto call = source.async_next();
        static_cast<void>(call.await_ready());
      }
      source.seek(1010);
      CHECK((text_of(source.peek(2048)) == text.substr(1010, 2048)));
      CHECK((rest_of(source) == text.substr(1010)));
      source.seek(1005);
      CHECK(error_of([&] { static_cast<void>(source.next()); }).offset() == 1005);
    }
  });
}

TEST_CASE("where reads of a disk fail, are cut short and interrupted, a reader leaves out what it says", "[reader]") {
  in_every_order([](asioq::execution_order order) {
    const std::string text = pattern(50'000);
    for (std::uint64_t turn = 0; turn < 10; ++turn) {
      disk_with_file its(text, {.seed = run_seed() + turn, .short_transfers = 0.5});
      std::mt19937_64 random = random_source(turn);
      for (int i = 0; i < 5; ++i)
        its.disk.add({.file = "data", .offset = below(random, text.size()), .length = 1 + below(random, 3000)});
      auto queue = its.queue({.buffer_size = 512 + below(random, 1000), .order = order});
      reader source{queue, its.fd, {.max_ahead = below(random, 10'000)}};
      std::uint64_t at = 0;
      for (bool ended = false; !ended;) {
        try {
          const std::string block = text_of(source.next());
          ended = block.empty();
          if (block != text.substr(at, block.size())) FAIL("other bytes at " << at);
          at += block.size();
        } catch (const asioq::read_error& error) {
          if (error.offset() != at) FAIL("an error at " << error.offset() << " instead of " << at);
          if ((error.length() == 0) != (at == text.size())) FAIL("leaves out " << error.length() << " bytes at " << at);
          at += error.length();
          if (at == text.size()) its.disk.heal();  // it was bad beyond the end, too
        }
        if (source.position() != at) FAIL("at " << source.position() << " instead of " << at);
      }
      CHECK(at == text.size());
    }
  });
}

TEST_CASE("a read that was cancelled leaves out nothing", "[reader]") {
  on_every_executor_in_strict_order([](const auto& world) {
    const std::string text = pattern(5000);
    const descriptor its = temp_file_with(text);
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512, .on_failure = asioq::failure_policy::hold});
    reader source{queue, its.get(), {.max_ahead = 0}};
    std::string got = text_of(source.next());
    CHECK(run(queue, write_of(queue, full, "x")).error() == std::errc::no_space_on_device);
    for (int i = 0; i < 3; ++i) {
      const asioq::read_error error = error_of([&] { static_cast<void>(source.next()); });
      CHECK(error.code() == std::errc::operation_canceled);
      CHECK(error.offset() == got.size());
      CHECK(error.length() == 0);
    }
    queue.resume();
    got += rest_of(source);
    CHECK((got == text));
  });
}

TEST_CASE("a cancelled read does not shorten a later peek", "[reader]") {
  on_every_executor_in_strict_order([](const auto& world) {
    const std::string text = pattern(2000);
    const descriptor its = temp_file_with(text);
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 512, .on_failure = asioq::failure_policy::hold});
    reader source{queue, its.get(), {.max_ahead = 0}};
    std::string got(100, '\0');
    CHECK(source.read(std::as_writable_bytes(std::span(got))) == 100);
    CHECK(run(queue, write_of(queue, full, "x")).error() == std::errc::no_space_on_device);
    CHECK(text_of(source.peek(512)) == text.substr(100, 412));
    CHECK(text_of(source.peek(512)) == text.substr(100, 412));
    queue.resume();
    CHECK(text_of(source.peek(512)) == text.substr(100, 512));
    CHECK((got + rest_of(source) == text));
  });
}

TEST_CASE("a read that fails at the end of the file leaves out nothing", "[reader]") {
  in_every_order([](asioq::execution_order order) {
    const std::string text = pattern(3000);
    disk_with_file its(text, {.seed = run_seed()});
    its.disk.add({.file = "data", .offset = 3000});
    auto queue = its.queue({.buffer_size = 1000, .order = order});
    reader source{queue, its.fd};
    std::string got;
    while (got.size() < 3000) got += text_of(source.next());
    for (int i = 0; i < 3; ++i) {
      const asioq::read_error error = error_of([&] { static_cast<void>(source.next()); });
      CHECK(error.offset() == 3000);
      CHECK(error.length() == 0);
      CHECK(source.position() == 3000);
    }
    its.disk.heal();
    CHECK(source.next().empty());
    CHECK((got == text));
  });
}

TEST_CASE("a failed read of a pipe leaves out nothing", "[reader]") {
  on_every_executor([](const auto& world) {
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    reader source{queue, pipe.write_end.get()};  // which is not for reading
    for (int i = 0; i < 3; ++i) {
      const asioq::read_error error = error_of([&] { static_cast<void>(source.next()); });
      CHECK(error.code() == std::errc::bad_file_descriptor);
      CHECK(error.length() == 0);
      CHECK(source.position() == 0);
    }
  });
}

TEST_CASE("where a failed read holds the queue, a reader goes on behind it after resume()", "[reader]") {
  in_every_order([](asioq::execution_order order) {
    const std::string text = pattern(10'000);
    disk_with_file its(text, {.seed = run_seed()});
    its.disk.add({.file = "data", .offset = 2500, .length = 10});
    for (const std::size_t max_ahead : {0U, 4096U}) {
      auto queue = its.queue({.buffer_size = 1024, .order = order, .on_failure = asioq::failure_policy::hold});
      reader source{queue, its.fd, {.max_ahead = max_ahead}};
      std::string got;
      while (source.position() < 2500) got += text_of(source.next());
      CHECK((got == text.substr(0, 2500)));
      CHECK(error_of([&] { static_cast<void>(source.next()); }).code() == std::errc::io_error);
      CHECK(source.position() == 3072);
      // As if serial, blocks behind it may have been read by then.
      std::uint64_t at = 3072;
      for (int errors = 0; errors < 3 && at < text.size();) {
        try {
          const std::string block = text_of(source.next());
          if (block != text.substr(at, block.size())) FAIL("other bytes at " << at);
          at += block.size();
        } catch (const asioq::read_error& error) {
          CHECK(error.code() == std::errc::operation_canceled);
          CHECK(error.offset() == at);
          CHECK(error.length() == 0);
          ++errors;
        }
      }
      CHECK(at < text.size());
      queue.resume();
      CHECK((rest_of(source) == text.substr(at)));
    }
  });
}

TEST_CASE("a reader that goes leaves its reads to the queue", "[reader][lifetime]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(100'000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 512});
    noting_receiver receiver;
    for (int blocks = 0; blocks < 20; ++blocks) {
      {
        reader source{queue, its.get(), {.max_ahead = 16 * 512}};
        for (int i = 0; i < blocks; ++i) static_cast<void>(source.next());
        if (blocks % 3 == 0) source.seek(50'000);
        if (blocks % 3 == 1) static_cast<void>(source.peek(1));
      }
      queue.submit(read_of(queue, its, 3, 0), receiver);
    }
    while (queue.run_one() != 0) {
    }
    CHECK(receiver.all.size() == 20);
    for (const outcome& one : receiver.all) CHECK(one.data == text.substr(0, 3));
    CHECK(queue.allocated_requests() == 0);
    {
      reader source{queue, its.get(), {.max_ahead = 16 * 512}};
      for (int i = 0; i < 10; ++i) static_cast<void>(source.next());
    }  // the queue goes with reads in flight
  });
}

TEST_CASE("a reader does with few requests", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(10'000);
    const descriptor its = temp_file_with(text);
    for (const std::size_t most : {1U, 2U, 3U, 8U}) {
      auto queue = world.queue({.buffer_size = 512, .max_requests = most});
      {
        reader source{queue, its.get(), {.max_ahead = 64 * 512}};
        CHECK((rest_of(source) == text));
        source.seek(5);
        CHECK((rest_of(source) == text.substr(5)));
        for (std::size_t at = 9000; at > 1000; at -= 999) {
          source.seek(at);
          CHECK((text_of(source.next()) == text.substr(at, 512)));
        }
        if (most >= 4) {  // there is one left for another
          source.seek(0);
          CHECK_FALSE(source.next().empty());
          reader other{queue, its.get()};
          CHECK((text_of(other.next()) == text.substr(0, 512)));
        }
      }
      while (queue.run_one() != 0) {
      }
      CHECK(queue.allocated_requests() == 0);
      std::vector<asioq::asio_request> all;
      while (asioq::asio_request one = queue.try_get()) all.push_back(std::move(one));
      reader source{queue, its.get()};
      try {
        static_cast<void>(source.next());
        FAIL("nothing was thrown");
      } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::not_enough_memory);
      }
      all.pop_back();
      CHECK((text_of(source.next()) == text.substr(0, 512)));
    }
  });
}

TEST_CASE("however far a reader reads ahead, it leaves a quarter of few requests to others", "[reader]") {
  in_every_order([](asioq::execution_order order) {
    const std::string text = pattern(100'000);
    const descriptor its = temp_file_with(text);
    keeping_engine engine{20};
    asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(engine),
                                                   {.buffer_size = 500, .order = order, .max_requests = 8}};
    reader source{queue, its.get(), {.max_ahead = 64 * 500}};
    std::size_t most = 0;
    while (source.position() < 50'000) {
      static_cast<void>(source.next());
      most = std::max(most, queue.allocated_requests());
    }
    CHECK(most == 6);
    reader one{queue, its.get()};
    reader two{queue, its.get()};
    CHECK((text_of(one.next()) == text.substr(0, 500)));
    CHECK((text_of(two.next()) == text.substr(0, 500)));
    CHECK((rest_of(source) == text.substr(50'000)));
  });
}

TEST_CASE("readers share a queue with each other and with the program's own requests", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string one = pattern(9000, 1);
    const std::string two = pattern(7000, 2);
    const descriptor first = temp_file_with(one);
    const descriptor second = temp_file_with(two);
    auto queue = world.queue({.buffer_size = 512});
    reader left{queue, first.get()};
    reader right{queue, second.get()};
    std::string from_left;
    std::string from_right;
    for (std::uint64_t i = 0; i < 18; ++i) {
      queue.submit(read_of(queue, first, 10, 100 * i));
      from_left += text_of(left.next());
      from_right += text_of(right.next());
      const asioq::asio_request done = queue.wait();
      CHECK(text_of(done.data()) == one.substr(100 * i, 10));
    }
    CHECK((from_left == one));
    CHECK((from_right == two));
    CHECK_FALSE(queue.wait());
  });
}

TEST_CASE("a seek keeps what was read ahead and is still wanted", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(100'000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 1000});
    reader source{queue, its.get(), {.max_ahead = 8000}};
    CHECK((text_of(source.next()) == text.substr(0, 1000)));  // and one block ahead
    while (queue.run_one() != 0) {
    }
    const std::uint64_t before = submitted(queue);
    REQUIRE(before == 2);
    source.seek(1500);
    source.seek(50'000);
    source.seek(10);
    std::string some(980, '\0');
    CHECK(source.read(bytes_of(some)) == 980);
    CHECK((some == text.substr(10, 980)));
    CHECK(submitted(queue) == before);
    source.seek(1999);
    CHECK((text_of(source.peek(1)) == text.substr(1999, 1)));
    CHECK(submitted(queue) == before + 1);  // the next one
    source.seek(1000);                      // its beginning is gone
    CHECK((text_of(source.next()) == text.substr(1000, 1000)));
    CHECK_THROWS_AS(source.seek(~std::uint64_t{0}), std::invalid_argument);
    source.seek(std::uint64_t{1} << 62U);
    CHECK(source.next().empty());
    CHECK(source.position() == std::uint64_t{1} << 62U);
    source.seek((std::uint64_t{1} << 63U) - 1);
    CHECK(source.next().empty());
  });
}

TEST_CASE("a reader that is sought to random places reads next to nothing ahead", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(200'000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 500});
    reader source{queue, its.get(), {.max_ahead = 16'000}};
    while (source.position() < 100'000) static_cast<void>(source.next());  // so far, one after the other
    const std::uint64_t before = submitted(queue);
    std::mt19937_64 random = random_source(111);
    constexpr std::uint64_t seeks = 500;
    for (std::uint64_t i = 0; i < seeks; ++i) {
      const std::size_t place = below(random, 400) * 500;
      source.seek(place);
      if (text_of(source.next()) != text.substr(place, 500)) FAIL("other bytes at " << place);
    }
    CHECK(submitted(queue) - before <= seeks + 64);
  });
}

TEST_CASE("a reader reads nothing beyond the file, and nothing ahead if it must not", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(10'000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 1000});
    {
      reader source{queue, its.get()};
      CHECK((rest_of(source) == text));
      CHECK(submitted(queue) == 11);  // the last one says that there is no more
    }
    {
      reader source{queue, its.get(), {.length = 5000}};
      CHECK((rest_of(source) == text.substr(0, 5000)));
      CHECK(submitted(queue) == 16);
    }
    reader source{queue, its.get(), {.max_ahead = 0}};
    for (std::uint64_t i = 1; i <= 10; ++i) {
      static_cast<void>(source.next());
      CHECK(submitted(queue) == 16 + i);
    }
  });
}

TEST_CASE("as if serial, the reads of a reader overlap", "[reader]") {
  const std::string text = pattern(1 << 20);
  const auto time_of = [&](asioq::execution_order order, std::size_t max_ahead) {
    disk_with_file its(
        text,
        {.short_transfers = 0, .interruptions = 0, .latency = {.fixed = std::chrono::microseconds{100}, .depth = 32}});
    auto queue = its.queue({.buffer_size = 4096, .order = order});
    reader source{queue, its.fd, {.max_ahead = max_ahead}};
    const auto before = its.disk.now();
    CHECK((rest_of(source) == text));
    return its.disk.now() - before;
  };
  const auto alone = time_of(asioq::execution_order::as_if_serial, 0);
  CHECK(time_of(asioq::execution_order::as_if_serial, 16 * 4096) * 4 < alone);
}

namespace {

template <class Reader>
owned_task note_what_is_kept(Reader& source, const keeping_engine& engine, std::size_t& most, std::string& got) {
  for (;;) {
    const std::span<const std::byte> block = co_await source.async_next();
    if (block.empty()) co_return;
    most = std::max(most, engine.kept());
    got += text_of(block);
  }
}

}  // namespace

TEST_CASE("while a program has a block of a reader, all reads that are due have begun", "[reader]") {
  const std::string text = pattern(100'000);
  const descriptor its = temp_file_with(text);
  keeping_engine engine{10};
  asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(engine),
                                                 {.buffer_size = 1000, .order = asioq::execution_order::as_if_serial}};
  std::size_t most = 0;
  std::string got;
  SECTION("with blocking calls") {
    reader source{queue, its.get(), {.max_ahead = 16'000}};
    for (;;) {
      const std::span<const std::byte> block = source.next();
      if (block.empty()) break;
      most = std::max(most, engine.kept());
      got += text_of(block);
    }
  }
  SECTION("with a coroutine") {
    reader source{queue, its.get(), {.max_ahead = 16'000}};
    const owned_task task = note_what_is_kept(source, engine, most, got);
    while (queue.run_one() != 0) {
    }
  }
  CHECK(most == 0);
  CHECK((got == text));
}

TEST_CASE("what a seek leaves behind is not read if it has not begun", "[reader]") {
  const std::string text = pattern(200'000);
  const descriptor its = temp_file_with(text);
  keeping_engine engine{2};
  asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(engine), {.buffer_size = 1000}};
  reader source{queue, its.get(), {.max_ahead = 16'000}};
  while (source.position() < 100'000) static_cast<void>(source.next());
  REQUIRE(queue.allocated_requests() > 8);
  const std::size_t before = engine.started();
  source.seek(150'000);
  CHECK((text_of(source.next()) == text.substr(150'000, 1000)));
  CHECK(engine.started() <= before + 3);
}

TEST_CASE("a reader reads ahead what a file has grown by", "[reader]") {
  const std::string text = pattern(200'000);
  const descriptor its = temp_file();
  keeping_engine engine{10};
  asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(engine),
                                                 {.buffer_size = 1000, .order = asioq::execution_order::as_if_serial}};
  reader source{queue, its.get(), {.max_ahead = 16'000}};
  CHECK(source.next().empty());
  set_contents(its, text);
  while (source.position() < 100'000) static_cast<void>(source.next());
  CHECK(queue.allocated_requests() > 8);
  CHECK((rest_of(source) == text.substr(100'000)));
}

#ifdef ASIOQ_TEST_URING
TEST_CASE("a reader works on an executor that is chosen when the program runs", "[reader]") {
  const std::string text = pattern(10'000);
  const descriptor its = temp_file_with(text);
  asioq::uring_or_pool either{8};
  asioq::basic_asio_queue<asioq::uring_or_pool::executor_type> queue{either.executor(), {.buffer_size = 512}};
  reader source{queue, its.get()};
  CHECK((rest_of(source) == text));
}
#endif

TEST_CASE("a reader goes over to the page cache where direct reads are refused", "[reader]") {
  /// Takes O_DIRECT and refuses what is then asked.
  class refusing_disk : public simulated_disk {
   public:
    using simulated_disk::simulated_disk;

   protected:
    std::int64_t transfer(const asioq::io_operation& operation, std::size_t length) override {
      if ((::fcntl(operation.fd(), F_GETFL) & O_DIRECT) != 0) return -EINVAL;
      return simulated_disk::transfer(operation, length);
    }
  };
  const std::optional<descriptor> direct = direct_file();
  if (!direct) {
    WARN(no_direct_io);
    return;
  }
  const std::string text = pattern(50'000);
  set_contents(reopen(*direct, O_RDWR), text);
  in_every_order([&](asioq::execution_order order) {
    refusing_disk disk{run_seed()};
    asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(disk), {.buffer_size = 4096, .order = order}};
    const file its = file_of(*direct);
    REQUIRE(its.is_direct());
    reader source{queue, its, {.offset = 5}};
    CHECK((text_of(source.peek(4096)) == text.substr(5, 4096)));
    CHECK_FALSE(its.is_direct());
    CHECK((rest_of(source) == text.substr(5)));
    const file strict = file_of(*direct, direct_io::required);
    reader failing{queue, strict};
    CHECK_THROWS_AS(failing.next(), std::system_error);
    CHECK(strict.is_direct());
    const descriptor own = reopen(*direct, O_RDONLY | O_DIRECT);  // not the reader's to change
    reader of_descriptor{queue, own.get()};
    CHECK(error_of([&] { static_cast<void>(of_descriptor.next()); }).code() == std::errc::invalid_argument);
  });
}

TEST_CASE("a reader refuses what cannot be read", "[reader]") {
  on_every_executor([](const auto& world) {
    auto queue = world.queue({.buffer_size = 100});
    const descriptor its = temp_file_with("text");
    CHECK_THROWS_AS((reader{queue, -1}), std::invalid_argument);
    CHECK_THROWS_AS((reader{queue, its.get(), {.offset = ~std::uint64_t{0}}}), std::invalid_argument);
    file closed = file_of(its);
    closed.close();
    CHECK_THROWS_AS((reader{queue, closed}), std::invalid_argument);
    const file direct = file_of(its);
    if (direct.is_direct()) CHECK_THROWS_AS((reader{queue, direct}), std::invalid_argument);
    reader source{queue, 1'000'000'000};
    CHECK_THROWS_AS(source.next(), asioq::read_error);
  });
}

namespace {

/// Everything by next().
template <class Reader>
owned_task read_all(Reader& source, std::string& all) {
  for (;;) {
    const std::span<const std::byte> block = co_await source.async_next();
    if (block.empty()) co_return;
    all += text_of(block);
  }
}

/// The same by all twins in turn.
template <class Reader>
owned_task read_all_ways(Reader& source, std::string& all) {
  for (int turn = 0;; ++turn) {
    const std::size_t before = all.size();
    if (turn % 3 == 0) all += text_of(co_await source.async_next());
    if (turn % 3 == 1) {
      const std::string seen = text_of(co_await source.async_peek(400));
      std::string some(777, '\0');
      some.resize(co_await source.async_read(bytes_of(some)));
      CHECK(some.substr(0, 400) == seen);
      all += some;
    }
    if (turn % 3 == 2) {
      const asioq::asio_request taken = co_await source.async_take();
      if (taken) all += text_of(taken.data());
    }
    if (all.size() == before) co_return;
  }
}

}  // namespace

TEST_CASE("the calls of a reader have twins for coroutines", "[reader][coroutine]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(20'000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 512});
    reader one{queue, its.get()};
    reader two{queue, its.get(), {.offset = 77, .max_ahead = 0}};
    reader three{queue, its.get(), {.offset = 78}};
    std::string first;
    std::string second;
    std::string third;
    const owned_task all_of_one = read_all(one, first);
    const owned_task all_of_two = read_all(two, second);
    const owned_task all_ways = read_all_ways(three, third);
    CHECK_FALSE(all_of_one.is_done());
    while (queue.run_one() != 0) {
    }
    for (const owned_task* task : {&all_of_one, &all_of_two, &all_ways}) {
      CHECK(task->is_done());
      CHECK_NOTHROW(task->rethrow());
    }
    CHECK((first == text));
    CHECK((second == text.substr(77)));
    CHECK((third == text.substr(78)));
  });
}

TEST_CASE("a coroutine that waits for a reader can be destroyed, and the reader goes on", "[reader][coroutine]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(20'000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 512});
    {
      reader source{queue, its.get()};
      std::string got;
      for (int i = 0; i < 5; ++i) {
        {
          const owned_task task = read_all(source, got);
          CHECK_FALSE(task.is_done());
        }
        got += text_of(source.next());
      }
      got += rest_of(source);
      CHECK((got == text));
    }
    // The next call may need the buffer of the one that was given up.
    {
      auto narrow = world.queue({.buffer_size = 512, .max_requests = 1});
      reader source{narrow, its.get()};
      std::string first;
      owned_task task = read_all(source, first);
      task.destroy();
      source.seek(512);
      std::string second;
      task = read_all(source, second);
      while (narrow.run_one() != 0) {
      }
      CHECK(task.is_done());
      CHECK_NOTHROW(task.rethrow());
      CHECK((second == text.substr(512)));
    }
    // And with the reader, in either order. What a seek has left is in flight, too.
    {
      reader source{queue, its.get(), {.max_ahead = 16 * 512}};
      for (int i = 0; i < 8; ++i) static_cast<void>(source.next());
      source.seek(15'000);
      std::string none;
      const owned_task task = read_all(source, none);
    }
    std::string got;
    std::unique_ptr<owned_task> task;
    {
      reader source{queue, its.get()};
      task = std::make_unique<owned_task>(read_all(source, got));
    }
    while (queue.run_one() != 0) {
    }
    CHECK_FALSE(task->is_done());
    task.reset();
    {
      reader source{queue, its.get()};
      const owned_task other = read_all(source, got);
    }
    while (queue.run_one() != 0) {
    }
    CHECK(got.empty());
    CHECK(queue.allocated_requests() == 0);
  });
}

namespace {

template <class Queue>
owned_task read_and_destroy(std::unique_ptr<reader<Queue>>& source, std::string& got) {
  for (int i = 0; i < 3; ++i) got += text_of(co_await source->async_next());
  source.reset();
}

template <class Reader>
owned_task catch_error(Reader& source, std::error_code& code) {
  try {
    for (;;) static_cast<void>(co_await source.async_next());
  } catch (const std::system_error& error) {
    code = error.code();
  }
}

}  // namespace

TEST_CASE("a coroutine may destroy the reader that has resumed it", "[reader][coroutine]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(20'000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 512});
    auto source = std::make_unique<reader<decltype(queue)>>(queue, its.get());
    std::string got;
    const owned_task task = read_and_destroy(source, got);
    while (queue.run_one() != 0) {
    }
    CHECK(task.is_done());
    CHECK(source == nullptr);
    CHECK((got == text.substr(0, 3 * 512)));
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("what a twin meets comes out of co_await", "[reader][coroutine]") {
  on_every_executor([](const auto& world) {
    const descriptor its = temp_file_with(pattern(2000));
    std::error_code of_read;
    std::error_code of_end;
    std::error_code of_want;
    std::optional<owned_task> task;
    std::vector<asioq::asio_request> all;
    {
      auto queue = world.queue({.buffer_size = 512, .max_requests = 4});
      reader missing{queue, 1'000'000'000};
      const owned_task one = catch_error(missing, of_read);
      while (queue.run_one() != 0) {
      }
      CHECK(one.is_done());
      CHECK(of_read == std::errc::bad_file_descriptor);
      reader source{queue, its.get()};
      while (asioq::asio_request request = queue.try_get()) all.push_back(std::move(request));
      const owned_task two = catch_error(source, of_want);
      CHECK(two.is_done());
      CHECK(of_want == std::errc::not_enough_memory);
    }
    all.clear();
    auto queue = std::make_unique<decltype(world.queue())>(world.executor, asioq::queue_options{.buffer_size = 512});
    reader source{*queue, its.get(), {.max_ahead = 0}};
    task.emplace(catch_error(source, of_end));
    queue.reset();
    CHECK(task->is_done());
    CHECK(of_end == std::errc::operation_not_permitted);
  });
}

TEST_CASE("a receiver may use a reader as far as it need not wait", "[reader]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(5000);
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 512});
    reader source{queue, its.get(), {.max_ahead = 512}};
    static_cast<void>(source.peek(1));
    while (queue.run_one() != 0) {
    }
    std::vector<std::string> got;
    std::error_code code;
    calling_receiver receiver([&](const asioq::asio_request&) {
      try {
        for (;;) got.push_back(text_of(source.next()));
      } catch (const std::system_error& error) {
        code = error.code();
      }
    });
    queue.submit(read_of(queue, its, 1, 0), receiver);
    CHECK(queue.run_one() == 1);
    CHECK(code == std::errc::resource_deadlock_would_occur);
    REQUIRE(got.size() == 2);
    CHECK((got[0] + got[1] == text.substr(0, 1024)));
    CHECK((rest_of(source) == text.substr(1024)));
  });
}

TEST_CASE("a reader reads ahead though its blocks are larger than max_ahead", "[reader]") {
  pumped_sink sink_of_tasks;
  const descriptor its = temp_file_with(std::string(10 * std::size_t{4096}, 'x'));
  asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink_of_tasks}, {.buffer_size = 4096}};
  reader source{queue, its.get(), {.max_ahead = 1}};
  CHECK(source.next().size() == 4096);
  CHECK(submitted(queue) == 2);
  reader other{queue, its.get(), {.max_ahead = 0}};
  CHECK(other.next().size() == 4096);
  CHECK(submitted(queue) == 3);
}

TEST_CASE("what a read_error says names the file and the place", "[reader]") {
  asioq::asio_queue queue{{.buffer_size = 4096}};
  const asioq::file folder = asioq::file::open_for_reading("/tmp", asioq::direct_io::off);
  reader source{queue, folder};
  std::string what;
  try {
    static_cast<void>(source.next());
  } catch (const asioq::read_error& error) {
    what = error.what();
  }
  CHECK(what.find("reading at offset 0 of /tmp: ") != std::string::npos);
}
