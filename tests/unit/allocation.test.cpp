#include "catch.hpp"
#include "coroutines.hpp"
#include "counting_new.hpp"
#include "executors.hpp"
#include "requests.hpp"

#include <algorithm>
#include <array>
#include <list>
#include <new>
#include <span>
#include <stop_token>

using namespace asioq_test;

namespace {

/// Some of everything. Returns how many requests came back.
template <class Queue>
std::size_t round(Queue& queue, const descriptor& file, const descriptor& full) {
  std::size_t count = 0;
  const auto collect = [&] {
    while (queue.wait()) ++count;
  };
  for (std::uint64_t i = 0; i < 50; ++i) {
    queue.submit(write_back_of(queue, file, "0123456789", i));
    queue.submit(read_of(queue, file, 10, i));
    queue.submit(write_of(queue, file, "x", i));
    if (i % 10 == 0) queue.submit(fsync_of(queue, file));
    if (i % 10 == 5) queue.submit(write_of(queue, full, "y"));
    if (i % 7 == 0) static_cast<void>(queue.try_wait() ? ++count : count);
    if (i % 16 == 0) collect();
  }
  queue.sync();
  collect();
  return count;
}

template <class Queue>
void check_no_allocation(Queue& queue) {
  const descriptor file = temp_file();
  const descriptor full = open_path("/dev/full", O_RDWR);
  {
    std::list<asioq::asio_request> most;  // as many as may be out at the same time
    for (int i = 0; i < 200; ++i) most.push_back(queue.get());
  }
  std::size_t expected = round(queue, file, full);
  const long before = news;
  std::size_t wrong = 0;
  for (int i = 0; i < 20; ++i) wrong += round(queue, file, full) == expected ? 0 : 1;
  const long after = news;
  CHECK(after - before == 0);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("operator new is counted", "[allocation]") {
  const long before = news;
  ::operator delete(::operator new(1));
  ::operator delete(::operator new(1, std::align_val_t{128}), std::align_val_t{128});
  const long after = news;
  CHECK(after == before + 2);
}

TEST_CASE("once warm, a queue on the inline executor allocates nothing", "[allocation]") {
  asioq::basic_asio_queue<asioq::inline_executor> queue{{.buffer_size = 512}};
  check_no_allocation(queue);
}

TEST_CASE("once warm, a queue on a pool allocates nothing", "[allocation]") {
  for (const std::size_t threads : {1U, 8U}) {
    asioq::thread_pool pool{threads};
    asioq::basic_asio_queue<asioq::thread_pool::executor_type> queue{pool.executor(), {.buffer_size = 512}};
    check_no_allocation(queue);
  }
}

TEST_CASE("once warm, a queue on the default pool allocates nothing", "[allocation]") {
  asioq::asio_queue queue{{.buffer_size = 512}};
  check_no_allocation(queue);
}

TEST_CASE("an executor never sees more than one waiting task of a queue", "[allocation][executor]") {
  pumped_sink sink;
  const descriptor file = temp_file();
  asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink}, {.buffer_size = 512}};
  for (std::uint64_t i = 0; i < 100; ++i) {
    queue.submit(write_of(queue, file, "x", i));
    CHECK(sink.waiting() <= 1);
    if (i % 10 == 0) static_cast<void>(queue.wait());
  }
  sink.run_all();
  CHECK(drain(queue).size() == 90);
}

TEST_CASE("what was acknowledged is forgotten: after resume() a queue allocates nothing either",
          "[allocation][latch]") {
  asioq::thread_pool pool{1};
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    for (const auto policy : {asioq::failure_policy::proceed, asioq::failure_policy::hold}) {
      asioq::basic_asio_queue<asioq::thread_pool::executor_type> queue{
          pool.executor(), {.buffer_size = 512, .order = order, .on_failure = policy}};
      const descriptor file = temp_file();
      const descriptor full = open_path("/dev/full", O_RDWR);
      const auto round = [&] {
        for (std::uint64_t i = 0; i < 20; ++i) {
          queue.submit(write_of(queue, full, "x"));
          static_cast<void>(queue.wait());
          queue.resume();
          for (int k = 0; k < 5; ++k) queue.submit(write_of(queue, file, "0123456789", i));
          while (queue.wait()) {
          }
        }
      };
      round();
      const long before = news;
      round();
      CHECK(news - before == 0);
    }
  }
}

namespace {

/// Submits what it gets again, and counts.
template <class Queue>
struct resubmitting final : asioq::completion {
  explicit resubmitting(Queue& its_queue) : queue(its_queue) {}
  void finished(asioq::asio_request request) noexcept override {
    if (++count % 8 != 0) queue.submit(std::move(request), *this);
  }
  Queue& queue;
  std::size_t count = 0;
};

template <class Queue>
owned_task await_many(Queue& queue, const descriptor& file, int rounds, std::stop_token stop, long& before,
                      long& after) {
  asioq::asio_request request = write_of(queue, file, "x", 0);
  for (int i = 0; i < 2 * rounds; ++i) {
    if (i == rounds) before = news;
    request = co_await queue.async_submit(std::move(request), stop);
  }
  after = news;
}

/// What has receivers, a coroutine and a descriptor.
template <class Queue>
void check_no_allocation_for_receivers(Queue& queue) {
  const descriptor file = temp_file();
  resubmitting receiver(queue);
  static_cast<void>(queue.native_handle());
  const auto round = [&] {
    for (std::uint64_t i = 0; i < 50; ++i) {
      if (i % 2 == 0)
        queue.submit(write_back_of(queue, file, "x", i), receiver);
      else
        queue.submit(read_of(queue, file, 1, 0), receiver);
      if (i % 7 == 0) static_cast<void>(queue.poll());
      if (i % 11 == 0) static_cast<void>(queue.run_one());
      if (i % 13 == 0) queue.cancel();
    }
    while (queue.run_one() != 0) {
    }
  };
  {
    std::list<asioq::asio_request> most;  // as many as may be out at the same time
    for (int i = 0; i < 100; ++i) most.push_back(queue.get());
  }
  round();
  long before = news;
  for (int i = 0; i < 20; ++i) round();
  CHECK(news - before == 0);
  CHECK(receiver.count >= 21 * 50);

  long after = -1;
  const std::stop_source source;
  const owned_task task = await_many(queue, file, 100, source.get_token(), before, after);
  CHECK_FALSE(queue.wait());
  CHECK(task.is_done());
  CHECK(after - before == 0);
}

}  // namespace

TEST_CASE("once warm, receivers, coroutines and event loops allocate nothing", "[allocation][completion]") {
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    const asioq::queue_options options{.buffer_size = 512, .order = order};
    asioq::basic_asio_queue<asioq::inline_executor> here{options};
    check_no_allocation_for_receivers(here);
    asioq::thread_pool pool{2};
    asioq::basic_asio_queue<asioq::thread_pool::executor_type> there{pool.executor(), options};
    check_no_allocation_for_receivers(there);
  }
}

namespace {

/// Everything by next(), and then by the other calls, with seeks. Returns how many bytes next() gave.
template <class Queue>
std::size_t read_in_all_ways(asioq::reader<Queue>& source, std::span<std::byte> some) {
  std::size_t count = 0;
  source.seek(3);
  for (std::size_t got = 1; got != 0; count += got) got = source.next().size();
  source.seek(5);
  for (bool ended = false; !ended;) {
    static_cast<void>(source.peek(300));
    static_cast<void>(source.read(some));
    ended = !source.take();
  }
  for (std::uint64_t at = 0; at < 20'000; at += 1700) {
    source.seek(at);
    static_cast<void>(source.next());
    static_cast<void>(source.next());
  }
  return count;
}

template <class Queue>
owned_task await_blocks(asioq::reader<Queue>& source, long& before, long& after) {
  for (int round = 0; round < 2; ++round) {
    before = news;
    source.seek(0);
    for (std::size_t got = 1; got != 0;) {
      const std::span<const std::byte> block = co_await source.async_next();
      got = block.size();
    }
  }
  after = news;
}

template <class Queue>
void check_no_allocation_for_readers(Queue& queue) {
  const descriptor file = temp_file_with(pattern(20'000));
  {
    std::list<asioq::asio_request> most;
    for (int i = 0; i < 100; ++i) most.push_back(queue.get());
  }
  asioq::reader source{queue, file.get(), {.max_ahead = 16 * 512}};
  std::array<std::byte, 1000> some{};
  CHECK(read_in_all_ways(source, some) == 20'000 - 3);
  const long before = news;
  std::size_t wrong = 0;
  for (int i = 0; i < 20; ++i) wrong += read_in_all_ways(source, some) == 20'000 - 3 ? 0 : 1;
  CHECK(news - before == 0);
  CHECK(wrong == 0);
  long before_awaiting = 0;
  long after_awaiting = -1;
  const owned_task task = await_blocks(source, before_awaiting, after_awaiting);
  while (queue.run_one() != 0) {
  }
  CHECK(task.is_done());
  CHECK(after_awaiting - before_awaiting == 0);
}

}  // namespace

TEST_CASE("once warm, a reader allocates nothing", "[allocation][reader]") {
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    const asioq::queue_options options{.buffer_size = 512, .order = order};
    asioq::basic_asio_queue<asioq::inline_executor> here{options};
    check_no_allocation_for_readers(here);
    asioq::thread_pool pool{2};
    asioq::basic_asio_queue<asioq::thread_pool::executor_type> there{pool.executor(), options};
    check_no_allocation_for_readers(there);
  }
}

namespace {

/// Some of everything that a writer does, at the beginning of the file. Returns how many bytes that were.
template <class Writer>
std::uint64_t write_in_all_ways(Writer& sink, std::span<const std::byte> some) {
  const std::uint64_t before = sink.position();
  for (int i = 0; i < 30; ++i) {
    sink.write(some);
    std::ranges::copy(some.first(100), sink.reserve(100).begin());
    sink.commit(100);
    if (i % 5 == 0) sink.start_flush();
    if (i % 7 == 0) sink.start_sync();
    if (i % 11 == 0) sink.flush();
  }
  sink.sync();
  return sink.position() - before;
}

template <class Writer>
owned_task await_writes(Writer& sink, std::span<const std::byte> some, long& before, long& after) {
  for (int i = 0; i < 40; ++i) {
    if (i == 20) before = news;
    co_await sink.async_write(some);
    co_await sink.async_flush();
    co_await sink.async_sync();
  }
  after = news;
}

template <class Queue>
void check_no_allocation_for_writers(Queue& queue, asioq::retention keep) {
  const descriptor file = temp_file("/dev/shm");
  {
    std::list<asioq::asio_request> most;
    for (int i = 0; i < 100; ++i) most.push_back(queue.get());
  }
  asioq::writer sink{queue, file.get(), {.max_behind = 8 * 512, .keep = keep}};
  std::array<std::byte, 1000> some{};
  for (int i = 0; i < 3; ++i) CHECK(write_in_all_ways(sink, some) == 33'000);
  const long before = news;
  std::size_t wrong = 0;
  for (int i = 0; i < 20; ++i) wrong += write_in_all_ways(sink, some) == 33'000 ? 0 : 1;
  CHECK(news - before == 0);
  CHECK(wrong == 0);
  long before_awaiting = 0;
  long after_awaiting = -1;
  const owned_task task = await_writes(sink, some, before_awaiting, after_awaiting);
  while (queue.run_one() != 0) {
  }
  CHECK(task.is_done());
  CHECK(after_awaiting - before_awaiting == 0);
}

}  // namespace

TEST_CASE("once warm, a writer allocates nothing", "[allocation][writer]") {
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    for (const auto keep : {asioq::retention::until_written, asioq::retention::until_durable}) {
      const asioq::queue_options options{.buffer_size = 512, .order = order};
      asioq::basic_asio_queue<asioq::inline_executor> here{options};
      check_no_allocation_for_writers(here, keep);
      asioq::thread_pool pool{2};
      asioq::basic_asio_queue<asioq::thread_pool::executor_type> there{pool.executor(), options};
      check_no_allocation_for_writers(there, keep);
    }
  }
}
