// The library's own part beside the peers.
#pragma once

#include <asioq/asioq.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "queue_on.hpp"
#include "transfer.hpp"
#include "worker.hpp"

namespace bench {

/// Keeps `depth` requests submitted: collects the oldest, and submits it again.
template <class Place>
class queue_transfer final : public worker {
 public:
  queue_transfer(const transfer& its, asioq::execution_order order)
      : its_(its), offsets_(its), its_queue_({.buffer_size = its.block, .order = order, .max_in_flight = its.depth}) {}

  void run(std::size_t requests) override {
    auto& queue = its_queue_.queue;
    std::size_t submitted = 0;
    const auto submit = [&](asioq::asio_request request) {
      if (its_.way == direction::read) {
        request.prepare_read(its_.fd, its_.block, offsets_.next());
      } else {
        request.prepare_write(its_.fd, its_.block, offsets_.next());
      }
      queue.submit(std::move(request));
      ++submitted;
    };
    while (submitted < std::min(its_.depth, requests)) submit(queue.get());
    while (asioq::asio_request done = queue.wait()) {
      check(done);
      if (submitted < requests) submit(std::move(done));
    }
  }

 private:
  transfer its_;
  offsets offsets_;
  queue_on<Place> its_queue_;
};

}  // namespace bench
