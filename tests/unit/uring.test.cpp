#include <asioq/asioq.hpp>
#include <asioq/uring.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "child.hpp"
#include "readiness.hpp"
#include "requests.hpp"

using namespace asioq_test;
using namespace std::chrono_literals;

namespace {

using uring_queue = asioq::basic_asio_queue<asioq::uring_context::executor_type>;

constexpr std::size_t many = 64;
constexpr auto long_enough = 20s;  // for anything that does not wait for ever
const asioq::queue_options as_if_serial{
    .buffer_size = 512, .order = asioq::execution_order::as_if_serial, .max_in_flight = many};

bool no_uring() {
  if (asioq::uring_context::available()) return false;
  WARN("skipped: io_uring is not to be had");
  return true;
}

/// Waits for all `count` requests; returns those that came in time and have not failed.
std::string arrivals(uring_queue& queue, std::size_t count) {
  std::string all;
  for (; count > 0; --count) {
    const asioq::asio_request done = queue.wait_for(long_enough);
    if (!done) break;
    if (!done.error()) all += text_of(done.data());
  }
  return all;
}

/// The same without a call that blocks.
std::string arrivals_by_polling(uring_queue& queue, std::size_t count) {
  const auto deadline = std::chrono::steady_clock::now() + long_enough;
  std::string all;
  while (count > 0 && std::chrono::steady_clock::now() < deadline) {
    if (const asioq::asio_request done = queue.try_wait()) {
      if (!done.error()) all += text_of(done.data());
      --count;
    }
  }
  return all;
}

/// Addresses of `size` bytes that are the same few over and over again: as large as can be, and hardly any memory.
class wide_buffer {
 public:
  explicit wide_buffer(std::size_t size) : size_(size), memory_(::memfd_create("asioq-test", MFD_CLOEXEC)) {
    if (::ftruncate(memory_.get(), stripe) != 0) throw_errno("ftruncate");
    start_ = ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start_ == MAP_FAILED) throw_errno("mmap");
    for (std::size_t at = 0; at < size_; at += stripe) {
      if (::mmap(static_cast<std::byte*>(start_) + at, stripe, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 memory_.get(), 0) == MAP_FAILED)
        throw_errno("mmap");
    }
  }
  wide_buffer(const wide_buffer&) = delete;
  wide_buffer& operator=(const wide_buffer&) = delete;
  ~wide_buffer() { ::munmap(start_, size_); }

  [[nodiscard]] std::span<std::byte> bytes() const { return {static_cast<std::byte*>(start_), size_}; }

  static constexpr std::size_t stripe = std::size_t{64} << 20U;

 private:
  std::size_t size_;
  descriptor memory_;
  void* start_;
};

/// One operation, without a queue.
struct lone_operation : asioq::io_operation {
  lone_operation(asioq::asio_op op, int fd, std::span<std::byte> buffer, std::uint64_t offset) {
    describe(op, fd, buffer.data(), buffer.size(), offset);
    on_complete(
        [](void*, io_operation& operation, std::int64_t answer) noexcept {
          static_cast<lone_operation&>(operation).outcome = answer;
          static_cast<lone_operation&>(operation).completed = true;
        },
        nullptr);
  }
  std::int64_t outcome = 0;
  bool completed = false;
};

}  // namespace

TEST_CASE("a ring has a reasonable size", "[uring]") {
  CHECK_THROWS_AS(asioq::uring_context(0), std::invalid_argument);
  CHECK_THROWS_AS(asioq::uring_context(32769), std::invalid_argument);
  CHECK_THROWS_AS(asioq::uring_or_pool(0), std::invalid_argument);
}

TEST_CASE("io_uring if it works, else the pool", "[uring]") {
  asioq::uring_or_pool context{8};
  CHECK(context.uses_uring() == asioq::uring_context::available());
  CHECK(context.uses_uring() == !context.reason());
  const descriptor file = temp_file();
  asioq::basic_asio_queue<asioq::uring_or_pool::executor_type> queue{context.executor(), {.buffer_size = 512}};
  CHECK(queue.get_executor() == context.executor());
  queue.submit(write_back_of(queue, file, "abc", 0));
  queue.submit(read_of(queue, file, 3, 0));
  CHECK(drain(queue).at(0).data == "abc");
}

TEST_CASE("what one queue has in the kernel does not keep another queue's requests out of it", "[uring]") {
  if (no_uring()) return;
  const std::vector<pipe_ends> pipes(many);
  const descriptor file = temp_file();
  asioq::uring_context ring{2};
  std::list<uring_queue> readers;
  SECTION("one queue with many reads of empty pipes") {
    readers.emplace_back(ring.executor(), as_if_serial);
    for (const pipe_ends& pipe : pipes) readers.front().submit(read_of(readers.front(), pipe.read_end, 1));
  }
  SECTION("many queues with one such read each") {
    for (const pipe_ends& pipe : pipes) {
      readers.emplace_back(ring.executor(), asioq::queue_options{.buffer_size = 512});
      readers.back().submit(read_of(readers.back(), pipe.read_end, 1));
    }
  }
  uring_queue writer{ring.executor(), as_if_serial};
  CHECK_FALSE(readers.front().try_wait());

  for (std::size_t i = 0; i < many; ++i) writer.submit(write_of(writer, file, "x", i));
  const std::string written = arrivals(writer, many);
  CHECK(written == std::string(many, 'x'));
  if (written.size() == many) {
    for (const pipe_ends& pipe : pipes) writer.submit(write_of(writer, pipe.write_end, "y"));
    CHECK(arrivals(writer, many) == std::string(many, 'y'));
  } else {
    for (const pipe_ends& pipe : pipes) pipe.put("y");  // so that the test ends
  }
  std::string read;
  for (uring_queue& reader : readers) read += arrivals(reader, many / readers.size());
  CHECK(read == std::string(many, 'y'));
}

TEST_CASE("more completions than a ring holds are all delivered", "[uring]") {
  if (no_uring()) return;
  const std::vector<pipe_ends> pipes(many);
  asioq::uring_context ring{1};
  uring_queue queue{ring.executor(), as_if_serial};
  for (const pipe_ends& pipe : pipes) queue.submit(read_of(queue, pipe.read_end, 1));
  CHECK_FALSE(queue.try_wait());
  for (std::size_t i = 0; i < many; ++i) pipes[i].put(std::string(1, static_cast<char>('0' + i)));
  std::string expected;
  for (std::size_t i = 0; i < many; ++i) expected += static_cast<char>('0' + i);
  SECTION("to a call that blocks") { CHECK(arrivals(queue, many) == expected); }
  SECTION("to calls that do not") { CHECK(arrivals_by_polling(queue, many) == expected); }
}

TEST_CASE("requests outlive the thread that has submitted them", "[uring]") {
  if (no_uring()) return;
  const std::vector<pipe_ends> pipes(8);
  const descriptor file = temp_file();
  asioq::uring_context ring{4};
  uring_queue reader{ring.executor(), as_if_serial};
  uring_queue writer{ring.executor(), {.buffer_size = 512, .max_writebacks = many}};
  const std::string text = pattern(many * 8);
  std::thread([&] {
    for (const pipe_ends& pipe : pipes) reader.submit(read_of(reader, pipe.read_end, 1));
    for (std::size_t i = 0; i < many; ++i) writer.submit(write_back_of(writer, file, text.substr(i * 8, 8), i * 8));
    writer.submit(fsync_of(writer, file));
    static_cast<void>(reader.try_wait());
  }).join();
  SECTION("and the next one waits") {
    for (const pipe_ends& pipe : pipes) pipe.put("x");
    CHECK(arrivals(reader, pipes.size()) == std::string(pipes.size(), 'x'));
  }
  SECTION("and the next one polls") {
    CHECK_FALSE(reader.try_wait());
    for (const pipe_ends& pipe : pipes) pipe.put("x");
    CHECK(arrivals_by_polling(reader, pipes.size()) == std::string(pipes.size(), 'x'));
  }
  SECTION("and yet another one takes over") {
    std::thread([&] { static_cast<void>(reader.try_wait()); }).join();
    for (const pipe_ends& pipe : pipes) pipe.put("x");
    CHECK(arrivals(reader, pipes.size()) == std::string(pipes.size(), 'x'));
  }
  const asioq::asio_request synced = writer.wait_for(long_enough);
  REQUIRE(synced);
  CHECK_FALSE(synced.error());
  CHECK(contents(file) == text);
}

TEST_CASE("a read at the position is cut where read(2) cuts it", "[uring]") {
  if (no_uring()) return;
  if (sanitized || sizeof(std::size_t) < 8) {
    WARN("skipped: no room for a buffer of 2 GiB and what a sanitizer notes about it");
    return;
  }
  constexpr std::size_t size = 33 * wide_buffer::stripe;
  const wide_buffer buffer(size);
  const descriptor file{::memfd_create("asioq-test", MFD_CLOEXEC)};
  REQUIRE(::ftruncate(file.get(), size) == 0);
  const std::int64_t by_read = std::numeric_limits<int>::max() & -::sysconf(_SC_PAGESIZE);  // on Linux; see read(2)

  asioq::uring_context ring{4};
  const auto executor = ring.executor();
  lone_operation reading(asioq::asio_op::read, file.get(), buffer.bytes(), asioq::current_position);
  executor.start(reading);
  while (!reading.completed) executor.wait_until(std::chrono::steady_clock::time_point::max());
  CHECK(reading.outcome == by_read);
  CHECK(::lseek(file.get(), 0, SEEK_CUR) == by_read);
}

TEST_CASE("the ring's descriptor is readable while poll would complete something", "[uring][event_loop]") {
  if (no_uring()) return;
  const pipe_ends pipe;
  std::byte byte{};
  asioq::uring_context ring{4};
  const auto executor = ring.executor();
  const int fd = executor.native_handle();
  CHECK_FALSE(is_readable(fd));
  for (int i = 0; i < 3; ++i) {
    lone_operation reading(asioq::asio_op::read, pipe.read_end.get(), {&byte, 1}, asioq::current_position);
    executor.start(reading);
    CHECK(executor.native_handle() == fd);  // which submits it
    CHECK_FALSE(is_readable(fd));
    pipe.put("x");
    CHECK(is_readable(fd, for_long));
    CHECK_FALSE(reading.completed);
    executor.poll();
    CHECK(reading.completed);
    CHECK_FALSE(is_readable(fd));
  }
}

TEST_CASE("the ring's descriptor is kept readable while more ask for it than do not", "[uring][event_loop]") {
  if (no_uring()) return;
  const pipe_ends pipe;
  std::byte byte{};
  asioq::uring_context ring{4};
  const auto executor = ring.executor();
  const int fd = executor.native_handle();
  for (int i = 0; i < 3; ++i) {
    executor.keep_readable(true);
    executor.keep_readable(true);
    executor.keep_readable(false);
    CHECK(is_readable(fd));
    executor.poll();
    CHECK(is_readable(fd));
    CHECK(executor.native_handle() == fd);
    CHECK(is_readable(fd));

    // What keeps it readable is none of the operations that come to an end.
    lone_operation reading(asioq::asio_op::read, pipe.read_end.get(), {&byte, 1}, asioq::current_position);
    executor.start(reading);
    executor.wait_until(std::chrono::steady_clock::now());
    CHECK_FALSE(reading.completed);
    CHECK(is_readable(fd));
    executor.keep_readable(false);
    CHECK_FALSE(is_readable(fd));
    pipe.put("x");
    while (!reading.completed) executor.wait_until(std::chrono::steady_clock::time_point::max());
    CHECK(reading.outcome == 1);
    CHECK_FALSE(is_readable(fd));
  }
  executor.keep_readable(true);  // and it may go with the ring
}

TEST_CASE("an operation is cancelled wherever it is", "[uring][cancel]") {
  if (no_uring()) return;
  const std::vector<pipe_ends> pipes(12);
  std::vector<std::byte> bytes(pipes.size());
  asioq::uring_context ring{2};
  const auto executor = ring.executor();
  const int fd = executor.native_handle();
  for (int round = 0; round < 3; ++round) {
    std::list<lone_operation> reads;
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      reads.emplace_back(asioq::asio_op::read, pipes[i].read_end.get(), std::span(&bytes[i], 1),
                         asioq::current_position);
      executor.start(reads.back());
    }
    if (round == 1) executor.poll();
    for (lone_operation& one : reads) executor.cancel(one);
    for (const lone_operation& one : reads) CHECK_FALSE(one.completed);  // not before poll or wait_until
    static_cast<void>(executor.native_handle());
    const auto all_completed = [&] {
      std::size_t count = 0;
      for (const lone_operation& one : reads) count += one.completed ? 1 : 0;
      return count == reads.size();
    };
    while (!all_completed()) {
      REQUIRE(is_readable(fd, for_long));
      executor.poll();
    }
    for (const lone_operation& one : reads) CHECK((one.outcome == -ECANCELED || one.outcome == -EINTR));
    CHECK_FALSE(is_readable(fd));
  }
}

TEST_CASE("an operation that is cancelled too late has its result", "[uring][cancel]") {
  if (no_uring()) return;
  const pipe_ends pipe;
  std::byte byte{};
  asioq::uring_context ring{4};
  const auto executor = ring.executor();
  lone_operation reading(asioq::asio_op::read, pipe.read_end.get(), {&byte, 1}, asioq::current_position);
  executor.start(reading);
  static_cast<void>(executor.native_handle());
  pipe.put("x");
  CHECK(is_readable(executor.native_handle(), for_long));
  executor.cancel(reading);
  while (!reading.completed) executor.wait_until(std::chrono::steady_clock::time_point::max());
  CHECK(reading.outcome == 1);
  CHECK_FALSE(is_readable(executor.native_handle()));
}
