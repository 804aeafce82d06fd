#include "catch.hpp"
#include "counting_allocator.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

using namespace asioq_test;

namespace {

/// Threads that look at finished requests and destroy them.
class consumers {
 public:
  explicit consumers(int count) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }

  void give(asioq::asio_request done) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(done));
    }
    wake_.notify_one();
  }

  std::atomic<std::size_t> bytes = 0;  // seen in all requests

 private:
  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
      {
        asioq::asio_request mine = std::move(waiting_.back());
        waiting_.pop_back();
        lock.unlock();
        bytes += text_of(mine.data()).size();
      }
      lock.lock();
    }
  }

  std::mutex mutex_;  // protects waiting_
  std::condition_variable_any wake_;
  std::vector<asioq::asio_request> waiting_;
  std::vector<std::jthread> threads_;  // the last member: the first to go, with what is left in waiting_
};

}  // namespace

TEST_CASE("handles may be destroyed on other threads while the queue works", "[handle][thread]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("0123456789");
    auto queue = world.queue({.buffer_size = 512});
    std::size_t bytes = 0;
    {
      consumers others(3);
      for (int i = 0; i < 3000; ++i) {
        queue.submit(read_of(queue, file, 10, 0));
        if (i % 4 == 3)
          while (asioq::asio_request done = queue.wait()) others.give(std::move(done));
      }
      while (others.bytes < 30'000) std::this_thread::yield();
      bytes = others.bytes;
    }
    CHECK(bytes == 30'000);
  });
}

TEST_CASE("handles may be destroyed on other threads while the queue goes", "[handle][thread][lifetime]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("0123456789");
    memory_log log;
    std::size_t bytes = 0;
    {
      consumers others(3);
      for (int round = 0; round < 100; ++round) {
        auto queue = world.queue({.buffer_size = 512}, counting_allocator<std::byte>(log));
        for (int i = 0; i < 10; ++i) queue.submit(read_of(queue, file, 10, 0));
        for (int i = 0; i < 8; ++i) others.give(queue.wait());
        others.give(queue.get());
      }
      while (others.bytes < 8'000) std::this_thread::yield();
      bytes = others.bytes;
    }
    CHECK(bytes == 8'000);
    CHECK(log.live == 0);
  });
}
