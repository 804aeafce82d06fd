#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/completion.hpp>
#include <asioq/detail/request/range.hpp>
#include <asioq/detail/support/sync.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace asioq::detail {

class request_home;
struct request_record;

/// What a request asks for. The holder of the handle sets it; it is constant while submitted.
struct request_values {
  asio_op op = asio_op::free;
  int fd = -1;
  std::byte* data = nullptr;  // the first byte to fill or to write
  std::size_t length = 0;
  std::uint64_t offset = current_position;

  [[nodiscard]] bool at_position() const noexcept { return offset == current_position; }
  [[nodiscard]] const operation_traits& traits() const noexcept { return traits_of(op); }
};

/// What else a dispatcher needs to know of a request: with `request_values`, one cache line.
struct request_outcome {
  // Set by the dispatcher, read by the owner once the request has finished.
  std::size_t transferred = 0;
  int error = 0;  // an errno value

  /// Ends with ECANCELED if it has not begun. Any thread may set it while the request is with the queue; it is false
  /// while the request is with the caller. Relaxed: it orders nothing.
  atomic<bool> is_cancelled = false;

  // Set by the owner on submission: the failures of requests before this one have been dealt with. See failure_log.
  std::uint64_t acknowledged = 0;

  request_record* next = nullptr;  // in the one list that holds it, for the holder of that list
};

/// What the owner of the queue or the holder of the handle sets, in a cache line that a runner seldom touches.
struct alignas(64) owner_part {
  request_home* home = nullptr;  // constant
  std::byte* buffer = nullptr;   // constant
  void* user_data = nullptr;
  std::uint64_t sequence = 0;              // set on submission
  completion* receiver = nullptr;          // set on submission; null if none waits, or not any more
  request_record* next_later = nullptr;    // the request submitted after this one
  request_record* next_of_kind = nullptr;  // the next in the ledger's list of its kind
  bool reported = false;                   // a thrown write_back_error has covered its failure
  bool has_receiver = false;               // set on submission
  bool can_be_passed = false;              // set when a sync is prepared: it has no barrier
};

/// What changes with a submission.
struct submission {
  std::uint64_t sequence = 0;
  std::uint64_t acknowledged = 0;
  std::size_t transferred = 0;
  int error = 0;
  bool reported = false;
};

/// Requests that wait for the same thing, in the order in which they came. A request is in at most one such list.
struct waiting_list {
  request_record* first = nullptr;
  request_record* last = nullptr;
};

/// A request's part in the order of requests that may run at the same time. Only `schedule` and its parts use it.
struct ordering_part : range {
  enum class state : unsigned char { outside, unclassified, blocked, ready, in_flight, done };

  state progress = state::outside;
  bool excludes = false;             // conflicts with everything in its range, not with writes alone
  bool waits_for_all = false;        // the request it waits for excludes the whole file, so none older is in the way
  unsigned rank = 0;                 // see ready_queue
  waiting_list* waits_in = nullptr;  // the list it is in
  request_record* before = nullptr;  // its neighbours there
  request_record* behind = nullptr;
  waiting_list waiters;  // the requests that wait for this one
};

/// A request's part with an `io_executor`: the step that is in flight.
struct io_part : io_operation {
  using io_operation::describe;
  using io_operation::on_complete;
  std::size_t from = 0;       // the step's first byte, counted from the request's `data`
  bool is_cut_short = false;  // the executor has been asked to end the step, which is the last
};

/// What is behind an `asio_request`. It is in one place at a time, and the party that has this place may touch it
/// without a lock: the holder of the handle, the queue's owner (which has all lists of the queue), or the dispatcher
/// (from submission until the count of finished requests covers it). Each dispatcher says how it changes hands.
///
/// It is aligned to a cache line, so that neighbours in use on different threads do not share one, and so that the low
/// bits of its address are free for the flags of `strict_dispatcher`.
struct alignas(64) request_record : request_values, request_outcome, owner_part, ordering_part, io_part {
  // These name what is asked for, not the step that is in flight.
  using owner_part::buffer;
  using request_outcome::next;
  using request_values::fd;
  using request_values::length;
  using request_values::offset;
  using request_values::op;

  request_record(request_home* its_home, std::byte* its_buffer) noexcept {
    home = its_home;
    buffer = its_buffer;
    data = its_buffer;
  }

  void cancel() noexcept { is_cancelled.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool must_not_begin() const noexcept { return is_cancelled.load(std::memory_order_relaxed); }

  /// Sets what changes with a submission and returns what it was.
  submission begin(const submission& its) noexcept {
    return {.sequence = std::exchange(sequence, its.sequence),
            .acknowledged = std::exchange(acknowledged, its.acknowledged),
            .transferred = std::exchange(transferred, its.transferred),
            .error = std::exchange(error, its.error),
            .reported = std::exchange(reported, its.reported)};
  }
};

}  // namespace asioq::detail
