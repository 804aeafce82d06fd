#pragma once

#include <asioq/detail/request/record.hpp>
#include <asioq/request.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace asioq::detail {

/// What streams can do with requests and queues, and programs cannot. All of it is for the queue's owner.
struct request_access {
  /// The record that a handle owns; the handle must not be empty. The address stays the same while the queue has the
  /// request.
  [[nodiscard]] static request_record& record_of(const asio_request& request) noexcept { return *request.record_; }

  /// Detaches the receiver from a submitted request, so that the receiver may be destroyed. Cancels the request if it
  /// has not begun. The request recycles itself. A failure that loses data is reported like that of a destroyed
  /// coroutine.
  static void abandon(request_record& record) noexcept {
    record.receiver = nullptr;
    record.cancel();
  }

  /// Makes the queue begin what is due, without a delivery, so that a receiver may call this. Throws what `poll()`
  /// throws.
  template <class Queue>
  static void begin(Queue& queue) {
    queue.core_.begin();
  }

  /// Calls `each` for the `request_values` of each request that the queue may not have finished yet.
  template <class Queue, class Each>
  static void for_unfinished(Queue& queue, Each each) noexcept {
    queue.core_.for_unfinished(each);
  }

  /// Makes `data()`, `length()` and `offset()` those of a request that has transferred exactly these bytes of its
  /// buffer, at this offset.
  static void narrow(asio_request& request, std::span<std::byte> data, std::uint64_t offset) noexcept {
    request_record& its = record_of(request);
    its.data = data.data();
    its.length = its.transferred = data.size();
    its.offset = offset;
    its.error = 0;
  }
};

}  // namespace asioq::detail
