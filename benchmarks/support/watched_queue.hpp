// A queue that counts what a stream asks it for.
#pragma once

#include <asioq/asioq.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace bench {

/// Counts the calls that a reader makes, as long as it knows the queue by this type.
template <class Queue>
class watched_queue : public Queue {
 public:
  using Queue::Queue;

  void submit(asioq::asio_request request, asioq::completion& receiver) {
    const std::size_t length = request.length();
    Queue::submit(std::move(request), receiver);
    asked_ += length;
  }
  std::size_t run_one() {
    has_waited_ = true;
    return Queue::run_one();
  }

  /// Whether a call has waited since this was asked before.
  [[nodiscard]] bool has_waited() { return std::exchange(has_waited_, false); }
  /// Bytes of all requests so far.
  [[nodiscard]] std::uint64_t asked() const { return asked_; }

 private:
  bool has_waited_ = false;
  std::uint64_t asked_ = 0;
};

}  // namespace bench
