#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"
#include "threads.hpp"

#include <atomic>
#include <memory>

using namespace asioq_test;

namespace {

/// Writes numbers at the file's position through one queue, and whether they arrived in order.
template <class Queue>
class counting_user {
 public:
  template <class World>
  explicit counting_user(const World& world, std::size_t max_writebacks)
      : queue_(world.executor, {.buffer_size = 64, .max_writebacks = max_writebacks}) {}

  void step(int number) {
    const std::string text = std::to_string(number) + ",";
    expected_ += text;
    if (number % 3 == 0)
      queue_.submit(write_of(queue_, file_, text));
    else
      queue_.submit(write_back_of(queue_, file_, text));
    if (number % 5 == 0) static_cast<void>(queue_.try_wait());
    if (number % 50 == 0) static_cast<void>(queue_.wait());
  }

  [[nodiscard]] bool right() {
    queue_.sync();
    return contents(file_) == expected_;
  }

 private:
  descriptor file_ = temp_file();
  std::string expected_;
  Queue queue_;
};

}  // namespace

TEST_CASE("many queues of one owner share an executor", "[queues]") {
  on_every_executor([](const auto& world) {
    using user = counting_user<decltype(world.queue())>;
    std::vector<std::unique_ptr<user>> users;
    for (std::size_t i = 0; i < 40; ++i) users.push_back(std::make_unique<user>(world, 1 + i % 3));
    for (int step = 0; step < 150; ++step)
      for (auto& one : users) one->step(step);
    int right = 0;
    for (auto& one : users) right += one->right() ? 1 : 0;
    CHECK(right == 40);
  });
}

TEST_CASE("many queues of many owners share an executor", "[queues][thread]") {
  on_every_threaded_executor([](const auto& world) {
    using user = counting_user<decltype(world.queue())>;
    std::atomic<int> right = 0;
    run_on_threads(4, [&] {
      std::vector<std::unique_ptr<user>> users;
      for (std::size_t i = 0; i < 8; ++i) users.push_back(std::make_unique<user>(world, 1 + i % 3));
      for (int step = 0; step < 200; ++step)
        for (auto& one : users) one->step(step);
      for (auto& one : users) right += one->right() ? 1 : 0;
    });
    CHECK(right == 32);
  });
}

TEST_CASE("a queue with much to do gives way to others", "[queues][fairness]") {
  pumped_sink sink;
  const descriptor null = open_path("/dev/null", O_WRONLY);
  asioq::basic_asio_queue<custom_executor> busy{custom_executor{&sink}, {.buffer_size = 64}};
  asioq::basic_asio_queue<custom_executor> modest{custom_executor{&sink}, {.buffer_size = 64}};
  for (int i = 0; i < 10'000; ++i) busy.submit(write_of(busy, null, "x"));
  modest.submit(write_of(modest, null, "x"));
  while (modest.running_requests() != 0) REQUIRE(sink.run_one());
  CHECK(busy.running_requests() > 0);
  sink.run_all();
  CHECK(busy.running_requests() == 0);
  while (busy.try_wait()) {
  }
}
