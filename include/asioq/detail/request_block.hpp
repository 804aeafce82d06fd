#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/options.hpp>

#include <cstddef>
#include <cstdint>

namespace asioq::detail {

class request_home;

/// What a request asks for, and how it went.
struct request_values {
  // Set by the holder of the handle, constant while submitted.
  asio_op op = asio_op::free;
  int fd = -1;
  std::size_t length = 0;
  std::uint64_t offset = current_position;
  void* user_data = nullptr;

  // Set by the owner on submission.
  std::uint64_t sequence = 0;
  bool ends_hold = false;  // the first after resume()

  // Owner only: a thrown write_back_error has covered its failure.
  bool reported = false;

  // Set by the runner, read once it is finished.
  int error = 0;  // an errno value
  std::size_t transferred = 0;
};

/// What is behind an `asio_request`. It is in one place at a time, and whoever has that place may touch it without
/// a lock: the holder of the handle; the queue's owner (who has all lists of the queue); or the runner, from submission
/// until the count of finished requests covers it. serial_engine.hpp says how it changes hands.
///
/// Aligned to a cache line, so that neighbours in use on different threads do not disturb each other, and so that the
/// low bits of its address are free for the flags of `serial_engine`.
struct alignas(64) request_block : request_values {
  request_block(request_home* its_home, std::byte* its_buffer) noexcept : home(its_home), buffer(its_buffer) {}

  request_block* next = nullptr;        // in the one list that holds it, for whoever has that list
  request_block* next_later = nullptr;  // owner only: the request submitted after this one
  request_home* const home;
  std::byte* const buffer;
};

/// A FIFO of blocks linked by one of their members; nothing is allocated, no operation fails.
template <request_block* request_block::*Link>
class block_fifo {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] request_block* front() const noexcept { return head_; }

  void push_back(request_block& block) noexcept {
    block.*Link = nullptr;
    (head_ == nullptr ? head_ : tail_->*Link) = &block;
    tail_ = &block;
  }

  void push_front(request_block& block) noexcept {
    if (head_ == nullptr) tail_ = &block;
    block.*Link = head_;
    head_ = &block;
  }

  request_block& pop_front() noexcept {
    request_block& block = *head_;
    head_ = block.*Link;
    return block;
  }

 private:
  request_block* head_ = nullptr;
  request_block* tail_ = nullptr;  // meaningful only if not empty
};

}  // namespace asioq::detail
