#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/interval_tree.hpp>
#include <asioq/io_executor.hpp>
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

  [[nodiscard]] bool is_write() const noexcept { return op == asio_op::write || op == asio_op::write_back; }
  [[nodiscard]] bool is_sync() const noexcept { return op == asio_op::fsync || op == asio_op::fdatasync; }
};

struct request_block;

/// Requests that wait for the same thing, in the order in which they came; a request is in at most one such list.
class waiting_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] request_block* front() const noexcept { return first_; }
  inline void push_back(request_block& block) noexcept;
  inline void remove(request_block& block) noexcept;

 private:
  request_block* first_ = nullptr;
  request_block* last_ = nullptr;
};

/// A request's part in `concurrent_order`, which alone uses it.
struct ordering_part : interval {
  enum class state { outside, after_resume, blocked, ready, in_flight, done };

  state progress = state::outside;
  bool excludes = false;             // conflicts with reads, too, not with writes alone
  waiting_list* waits_in = nullptr;  // the list it is in
  request_block* before = nullptr;   // its neighbours there
  request_block* behind = nullptr;
  unsigned rank = 0;     // see ready_queue
  waiting_list waiters;  // the requests that wait for this one
};

/// A request's part in `io_engine`, which alone uses it: the step it is at.
struct io_part : io_operation {
  using io_operation::describe;
  std::size_t from = 0;  // the step's first byte in the request's buffer

  void on_complete(void (*completed)(io_operation& operation, std::int64_t result) noexcept) noexcept {
    completed_ = completed;
  }
  request_block* request = nullptr;
  void* engine = nullptr;
};

/// What is behind an `asio_request`. It is in one place at a time, and whoever has that place may touch it without
/// a lock: the holder of the handle; the queue's owner (who has all lists of the queue); or the engine, from submission
/// until the count of finished requests covers it. Each engine says how it changes hands.
///
/// Aligned to a cache line, so that neighbours in use on different threads do not disturb each other, and so that the
/// low bits of its address are free for the flags of `serial_engine`.
struct alignas(64) request_block : request_values {
  request_block(request_home* its_home, std::byte* its_buffer) noexcept : home(its_home), buffer(its_buffer) {}

  request_block* next = nullptr;        // in the one list that holds it, for whoever has that list
  request_block* next_later = nullptr;  // owner only: the request submitted after this one
  request_home* const home;
  std::byte* const buffer;

  ordering_part order;
  io_part step;
};

void waiting_list::push_back(request_block& block) noexcept {
  block.order.waits_in = this;
  block.order.before = last_;
  block.order.behind = nullptr;
  (last_ == nullptr ? first_ : last_->order.behind) = &block;
  last_ = &block;
}

void waiting_list::remove(request_block& block) noexcept {
  (block.order.before == nullptr ? first_ : block.order.before->order.behind) = block.order.behind;
  (block.order.behind == nullptr ? last_ : block.order.behind->order.before) = block.order.before;
  block.order.waits_in = nullptr;
}

/// A FIFO of blocks linked by one of their members; nothing is allocated, no operation fails.
template <request_block* request_block::* Link>
class block_fifo {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] bool has_one() const noexcept { return head_ != nullptr && head_ == tail_; }
  [[nodiscard]] request_block* front() const noexcept { return head_; }

  /// Removes the last one, which is `block`: O(n).
  void pop_back(const request_block& block) noexcept {
    if (head_ == &block) {
      head_ = nullptr;
      return;
    }
    for (tail_ = head_; tail_->*Link != &block;) tail_ = tail_->*Link;
    tail_->*Link = nullptr;
  }

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
