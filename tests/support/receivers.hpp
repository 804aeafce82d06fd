// What finished requests are given to.
#pragma once

#include <asioq/asioq.hpp>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "requests.hpp"

namespace asioq_test {

/// Notes what it is given.
class noting_receiver final : public asioq::completion {
 public:
  void finished(asioq::asio_request request) noexcept override { all.emplace_back(request); }

  [[nodiscard]] std::vector<std::uint64_t> sequences() const {
    std::vector<std::uint64_t> its;
    for (const outcome& one : all) its.push_back(one.sequence);
    return its;
  }

  std::vector<outcome> all;
};

/// Calls a function with what it is given.
class calling_receiver final : public asioq::completion {
 public:
  explicit calling_receiver(std::function<void(asioq::asio_request)> function) : function_(std::move(function)) {}
  void finished(asioq::asio_request request) noexcept override { function_(std::move(request)); }

 private:
  std::function<void(asioq::asio_request)> function_;
};

/// Polls the queue, and lets its executor go on, until `is_done()`.
template <class World, class Queue, class IsDone>
void poll_until(const World& world, Queue& queue, IsDone is_done) {
  while (!is_done()) {
    static_cast<void>(queue.poll());
    world.nudge();
  }
}

}  // namespace asioq_test
