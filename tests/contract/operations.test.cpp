// Truncate, allocate, close and use_from, on every executor and in every order.
#include "catch.hpp"
#include "every_executor.hpp"
#include "mounts.hpp"
#include "requests.hpp"
#include "seed.hpp"

#include <algorithm>
#include <array>

using namespace asioq_test;
using asioq::asio_op;

namespace {

template <class Queue>
asioq::asio_request truncate_of(Queue& queue, const descriptor& file, std::uint64_t size) {
  asioq::asio_request request = queue.get();
  request.prepare_truncate(file.get(), size);
  return request;
}

template <class Queue>
asioq::asio_request allocate_of(Queue& queue, const descriptor& file, std::size_t length, std::uint64_t offset) {
  asioq::asio_request request = queue.get();
  request.prepare_allocate(file.get(), length, offset);
  return request;
}

template <class Queue>
asioq::asio_request close_of(Queue& queue, int fd) {
  asioq::asio_request request = queue.get();
  request.prepare_close(fd);
  return request;
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

}  // namespace

TEST_CASE("truncate cuts and grows in its place", "[operations][truncate]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("0123456789");
    const descriptor again = reopen(file, O_RDWR);
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(read_of(queue, file, 100, 0));
    queue.submit(truncate_of(queue, file, 4));
    queue.submit(read_of(queue, again, 100, 0));
    queue.submit(read_of(queue, file, 100, 6));
    queue.submit(truncate_of(queue, again, 9));
    queue.submit(read_of(queue, file, 100, 0));
    queue.submit(write_back_of(queue, file, "abc", 7));
    queue.submit(read_of(queue, again, 100, 0));
    queue.submit(truncate_of(queue, file, 0));
    queue.submit(write_of(queue, file, "new", 0));
    queue.submit(read_of(queue, file, 100, 1));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 10);
    for (const outcome& one : all) CHECK_FALSE(one.error);
    CHECK(all[0].data == "0123456789");
    CHECK(all[1].op == asio_op::truncate);
    CHECK(all[1].bytes == 0);
    CHECK(all[2].data == "0123");
    CHECK(all[3].data.empty());
    CHECK(all[5].data == std::string("0123") + std::string(5, '\0'));
    CHECK(all[6].data == std::string("0123") + std::string(3, '\0') + "abc");
    CHECK(all[9].data == "ew");
    CHECK(contents(file) == "new");
  });
}

TEST_CASE("truncates among reads and writes: each sees what a serial run shows", "[operations][truncate][random]") {
  on_every_executor([](const auto& world) {
    auto random = random_source();
    const descriptor file = temp_file();
    const std::array<descriptor, 2> others = {reopen(file, O_RDWR), reopen(file, O_RDWR)};
    auto queue = world.queue({.buffer_size = 512, .max_in_flight = 5});
    std::string model;
    std::vector<std::string> expected;
    for (unsigned i = 0; i < 120; ++i) {
      const descriptor& its = others[below(random, 2)];
      const std::size_t place = below(random, 700);
      const std::size_t length = below(random, 300);
      switch (below(random, 5)) {
        case 0:
          queue.submit(truncate_of(queue, its, place));
          model.resize(place);
          expected.emplace_back();
          break;
        case 1:
        case 2: {
          const std::string text = pattern(length, i);
          if (length != 0) model.resize(std::max(model.size(), place + length));
          std::ranges::copy(text, model.begin() + static_cast<std::ptrdiff_t>(length == 0 ? 0 : place));
          if (below(random, 2) == 0) {
            queue.submit(write_of(queue, its, text, place));
            expected.push_back(text);
          } else {
            queue.submit(write_back_of(queue, its, text, place));
          }
          break;
        }
        default:
          queue.submit(read_of(queue, its, length, place));
          expected.push_back(place < model.size() ? model.substr(place, length) : "");
          break;
      }
    }
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == expected.size());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < all.size(); ++i) wrong += all[i].error || all[i].data != expected[i] ? 1 : 0;
    CHECK(wrong == 0);
    CHECK((contents(file) == model));
  });
}

TEST_CASE("a truncate that the file does not allow fails", "[operations][truncate][fault]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const descriptor read_only = reopen(file, O_RDONLY);
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    CHECK(run(queue, truncate_of(queue, read_only, 1)).error() == std::errc::invalid_argument);
    CHECK(run(queue, truncate_of(queue, pipe.write_end, 1)).error() == std::errc::invalid_argument);
    CHECK(contents(file) == "abc");
    asioq::asio_request request = queue.get();
    CHECK_THROWS_AS(request.prepare_truncate(-1, 0), std::invalid_argument);
    CHECK_THROWS_AS(request.prepare_truncate(file.get(), std::uint64_t{1} << 63), std::invalid_argument);
    CHECK_THROWS_AS(request.prepare_truncate(file.get(), asioq::current_position), std::invalid_argument);
    CHECK(request.op() == asio_op::free);
    request.prepare_truncate(file.get(), 2);
    CHECK(request.offset() == 2);
    CHECK(request.length() == 0);
    CHECK_FALSE(run(queue, std::move(request)).error());
    CHECK(contents(file) == "ab");
  });
}

TEST_CASE("allocate makes the file as long and keeps what is there, beyond the buffer's size too",
          "[operations][allocate]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(write_back_of(queue, file, "abc", 0));
    queue.submit(allocate_of(queue, file, 100'000, 1));
    queue.submit(read_of(queue, file, 512, 100'000 - 9));
    queue.submit(write_of(queue, file, "xyz", 100'001));
    queue.submit(allocate_of(queue, file, 10, 50));  // is there
    queue.submit(read_of(queue, file, 512, 99'999));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 5);
    for (const outcome& one : all) CHECK_FALSE(one.error);
    CHECK(all[0].op == asio_op::allocate);
    CHECK(all[0].bytes == 0);
    CHECK(all[1].data == std::string(10, '\0'));
    CHECK(all[4].data == std::string(2, '\0') + "xyz");
    CHECK((contents(file) == "abc" + std::string(99'998, '\0') + "xyz"));
    struct stat status{};
    REQUIRE(::fstat(file.get(), &status) == 0);
    CHECK(status.st_blocks * 512 >= 100'000);
  });
}

TEST_CASE("allocate says when there is no room, and what is wrong", "[operations][allocate][fault]") {
  on_every_executor([](const auto& world) {
    const std::optional<descriptor> file = file_on_small_tmpfs(64 << 10);
    auto queue = world.queue({.buffer_size = 512});
    if (!file) {
      WARN(no_mounts);
    } else {
      CHECK(run(queue, allocate_of(queue, *file, 1 << 20, 0)).error() == std::errc::no_space_on_device);
      CHECK_FALSE(run(queue, allocate_of(queue, *file, 16 << 10, 0)).error());
      CHECK(contents(*file).size() == 16 << 10);
    }
    const descriptor plain = temp_file();
    const descriptor read_only = reopen(plain, O_RDONLY);
    CHECK(run(queue, allocate_of(queue, read_only, 1, 0)).error() == std::errc::bad_file_descriptor);
    asioq::asio_request request = queue.get();
    CHECK_THROWS_AS(request.prepare_allocate(plain.get(), 0, 0), std::invalid_argument);
    CHECK_THROWS_AS(request.prepare_allocate(-1, 1, 0), std::invalid_argument);
    CHECK_THROWS_AS(request.prepare_allocate(plain.get(), 2, (std::uint64_t{1} << 63) - 2), std::invalid_argument);
    CHECK_THROWS_AS(request.prepare_allocate(plain.get(), 2, asioq::current_position), std::invalid_argument);
    CHECK(request.op() == asio_op::free);
    request.prepare_allocate(plain.get(), 2, (std::uint64_t{1} << 63) - 3);
    CHECK(request.length() == 2);
  });
}

TEST_CASE("a descriptor is closed when its last write-back is done", "[operations][close]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    descriptor other = reopen(file, O_RDWR);
    const int fd = other.release();
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 40, .max_in_flight = 7});
    std::string expected;
    for (unsigned i = 0; i < 30; ++i) {
      asioq::asio_request request = queue.get();
      set_text(request, pattern(100, i));
      request.prepare_write_back(fd, 100, i * 100);
      expected += pattern(100, i);
      queue.submit(std::move(request));
    }
    queue.submit(close_of(queue, fd));
    asioq::asio_request late = queue.get();
    late.prepare_write(fd, 100, 0);
    queue.submit(std::move(late));
    queue.submit(close_of(queue, fd));
    queue.submit(read_of(queue, file, 100, 2900));
    const std::vector<outcome> all = drain(queue);  // no write-back has failed
    REQUIRE(all.size() == 4);
    CHECK(all[0].op == asio_op::close);
    CHECK_FALSE(all[0].error);
    CHECK(all[1].error == std::errc::bad_file_descriptor);
    CHECK(all[2].error == std::errc::bad_file_descriptor);
    CHECK(all[3].data == pattern(100, 29));
    CHECK_FALSE(is_open(fd));
    CHECK((contents(file) == expected));
  });
}

TEST_CASE("closing a descriptor does not disturb another of the same file", "[operations][close]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("0123456789");
    auto queue = world.queue({.buffer_size = 512});
    for (int i = 0; i < 8; ++i) {
      const int fd = reopen(file, O_RDWR).release();
      const int twin = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
      const descriptor owned{twin};
      asioq::asio_request request = queue.get();
      request.prepare_read(fd, 2);
      queue.submit(std::move(request));
      queue.submit(close_of(queue, fd));
      queue.submit(read_of(queue, owned, 3));  // goes on where the closed one was
      queue.submit(write_of(queue, file, "x", 9));
      queue.submit(read_of(queue, owned, 512, 4));
      const std::vector<outcome> all = drain(queue);
      REQUIRE(all.size() == 5);
      for (const outcome& one : all) CHECK_FALSE(one.error);
      CHECK(all[0].data == "01");
      CHECK(all[2].data == "234");
      CHECK(all[4].data == "45678x");
      CHECK_FALSE(is_open(fd));
    }
  });
}

TEST_CASE("a number that has been closed may name another file afterwards", "[operations][close]") {
  on_every_executor([](const auto& world) {
    auto queue = world.queue({.buffer_size = 512});
    const descriptor first = temp_file_with("first");
    const descriptor second = temp_file_with("second");
    const int fd = reopen(first, O_RDWR).release();
    queue.submit(close_of(queue, fd));
    CHECK_FALSE(queue.wait().error());
    const descriptor reused{::fcntl(second.get(), F_DUPFD_CLOEXEC, fd)};
    REQUIRE(reused.get() == fd);
    queue.submit(write_of(queue, reused, "S", 0));
    queue.submit(read_of(queue, second, 10, 0));
    queue.submit(read_of(queue, first, 10, 0));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 3);
    CHECK(all[1].data == "Second");
    CHECK(all[2].data == "first");
  });
}

TEST_CASE("closing what is not open fails, and use of a negative number is refused", "[operations][close][fault]") {
  on_every_executor([](const auto& world) {
    auto queue = world.queue({.buffer_size = 512});
    CHECK(run(queue, close_of(queue, 1'000'000'000)).error() == std::errc::bad_file_descriptor);
    asioq::asio_request request = queue.get();
    CHECK_THROWS_AS(request.prepare_close(-1), std::invalid_argument);
    CHECK(request.op() == asio_op::free);
  });
}

TEST_CASE("a transfer may use a part of the buffer", "[operations][use_from]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("0123456789");
    auto queue = world.queue({.buffer_size = 32});
    asioq::asio_request request = queue.get();
    set_text(request, std::string(32, '-'));
    request.prepare_read(file.get(), 5, 2);
    request.use_from(7);
    request = run(queue, std::move(request));
    CHECK(text_of(request.data()) == "23456");
    CHECK(request.data().data() == request.buffer().data() + 7);
    CHECK(text_of(request.buffer()) == "-------23456" + std::string(20, '-'));

    request.prepare_write(file.get(), 3, 0);
    request.use_from(9);
    request = run(queue, std::move(request));
    CHECK(text_of(request.data()) == "456");
    CHECK(contents(file) == "4563456789");
    queue.submit(std::move(request));  // again as it is
    request = queue.wait();
    CHECK(text_of(request.data()) == "456");

    request.prepare_write_back(file.get(), 32, 10);
    request.use_from(0);
    queue.submit(std::move(request));
    request = queue.get();
    set_text(request, "abcdef");
    request.prepare_write_back(file.get(), 2, 50);
    request.use_from(4);
    queue.submit(std::move(request));
    queue.sync();
    CHECK(contents(file).substr(10) == "-------23456" + std::string(20, '-') + std::string(8, '\0') + "ef");

    request = queue.get();  // prepared anew it begins at the buffer's begin
    request.prepare_read(file.get(), 4, 0);
    request.use_from(28);
    request.prepare_read(file.get(), 4, 0);
    request = run(queue, std::move(request));
    CHECK(request.data().data() == request.buffer().data());
  });
}

TEST_CASE("merged or not, parts of buffers stay where they belong", "[operations][use_from][merging]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(40 * 100);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 64});
    for (std::size_t i = 0; i < 40; ++i) {
      asioq::asio_request request = queue.get();
      set_text(request, std::string(i, '!') + text.substr(i * 100, 100));
      request.prepare_write_back(file.get(), 100, i * 100);
      request.use_from(i);
      queue.submit(std::move(request));
    }
    for (std::size_t i = 0; i < 40; ++i) {
      asioq::asio_request request = queue.get();
      request.prepare_read(file.get(), 100, i * 100);
      request.use_from(412 - i);
      queue.submit(std::move(request));
    }
    for (std::size_t i = 0; i < 40; ++i) {
      const asioq::asio_request done = queue.wait();
      CHECK(text_of(done.data()) == text.substr(i * 100, 100));
    }
  });
}

TEST_CASE("a failed write-back comes back with the part that it used", "[operations][use_from][fault]") {
  on_every_executor([](const auto& world) {
    const std::optional<descriptor> file = file_on_small_tmpfs(8192);
    if (!file) {
      WARN(no_mounts);
      return;
    }
    auto queue = world.queue({.buffer_size = 16384});
    asioq::asio_request request = queue.get();
    const std::string text = pattern(12288);
    std::ranges::copy(std::as_bytes(std::span(text)), request.buffer().begin() + 1000);
    request.prepare_write_back(file->get(), 12288, 0);
    request.use_from(1000);
    const asioq::asio_request done = run(queue, std::move(request));
    CHECK(done.error() == std::errc::no_space_on_device);
    CHECK(done.bytes_transferred() == 8192);
    CHECK((text_of(done.data()) == text.substr(0, 8192)));
    CHECK((contents(*file) == text.substr(0, 8192)));
  });
}

TEST_CASE("use_from refuses what leaves the buffer, and what is no transfer", "[operations][use_from]") {
  const descriptor file = temp_file();
  asioq::basic_asio_queue<asioq::inline_executor> queue{{.buffer_size = 100}};
  asioq::asio_request request = queue.get();
  CHECK_THROWS_AS(request.use_from(0), std::invalid_argument);  // nothing is prepared
  request.prepare_write(file.get(), 60, 0);
  CHECK_NOTHROW(request.use_from(40));
  CHECK_THROWS_AS(request.use_from(41), std::invalid_argument);
  CHECK_THROWS_AS(request.use_from(101), std::invalid_argument);
  CHECK_THROWS_AS(request.use_from(~std::size_t{0}), std::invalid_argument);
  set_text(request, std::string(40, 'a') + std::string(60, 'b'));
  CHECK(text_of(run(queue, std::move(request)).data()) == std::string(60, 'b'));  // as it was
  request = queue.get();
  request.prepare_read(file.get(), 0, 0);
  CHECK_NOTHROW(request.use_from(100));
  for (const auto op : {asio_op::fsync, asio_op::truncate, asio_op::close}) {
    if (op == asio_op::fsync) request.prepare_fsync(file.get());
    if (op == asio_op::truncate) request.prepare_truncate(file.get(), 1);
    if (op == asio_op::close) request.prepare_close(file.get());
    CHECK_THROWS_AS(request.use_from(0), std::invalid_argument);
  }
  asioq::asio_request empty;
  CHECK_THROWS_AS(empty.use_from(0), std::invalid_argument);
}

TEST_CASE("under hold truncate, allocate and close are held like the rest", "[operations][hold]") {
  on_every_executor_in_strict_order([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file_with("abc");
    const int fd = reopen(file, O_RDWR).release();
    const descriptor owned{fd};
    auto queue = world.queue({.buffer_size = 512, .on_failure = asioq::failure_policy::hold});
    queue.submit(write_of(queue, full, "x"));
    queue.submit(truncate_of(queue, file, 1));
    queue.submit(allocate_of(queue, file, 10, 0));
    queue.submit(close_of(queue, fd));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 4);
    for (std::size_t i = 1; i < 4; ++i) CHECK(all[i].error == std::errc::operation_canceled);
    CHECK(contents(file) == "abc");
    CHECK(is_open(fd));
    queue.resume();
    CHECK_FALSE(run(queue, truncate_of(queue, file, 1)).error());
    CHECK(contents(file) == "a");
  });
}
